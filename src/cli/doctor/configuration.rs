//! The configuration: its keys and values, and the file of MediaMTX's that it names.

use camera_service::{app, config::Diagnostic};

use super::{case::Case, finding::Finding};

/// The checks.
pub fn look(case: &Case) -> Vec<Finding> {
    let file = case.file.as_ref().map_or_else(|| "the defaults".to_owned(), |file| file.display().to_string());
    let examined = match &case.examined {
        Ok(examined) => examined,
        Err(problems) => {
            let fix = "name a file that the service's user can read: --config FILE, here and in the unit";
            return problems.0.iter().map(|problem| Finding::fail("config.file", problem.to_string(), fix)).collect();
        }
    };
    let mut found = vec![match case.file.is_some() {
        true => Finding::ok("config.file", format!("{file} can be read")),
        false => Finding::ok("config.file", "there is none, and none is needed: the defaults count"),
    }];
    let said = |diagnostic: &Diagnostic| Diagnostic { valid: None, nearest: None, ..diagnostic.clone() }.to_string();
    let way_out = |diagnostic: &Diagnostic| match (&diagnostic.nearest, &diagnostic.valid) {
        (Some(nearest), _) => format!("write \"{nearest}\"; camera-service check-config {file} lists what is valid"),
        (None, Some(valid)) => format!("valid: {valid}"),
        (None, None) => format!("see camera-service check-config {file}"),
    };
    let problem = |problem: &Diagnostic| Finding::fail("config.keys", said(problem), way_out(problem));
    let warning =
        |warning: &Diagnostic| Finding::warn("config.keys", said(warning), "remove it, or see configuration.md");
    found.extend(examined.problems.iter().map(problem));
    found.extend(examined.warnings.iter().map(warning));
    if examined.problems.is_empty() && examined.warnings.is_empty() {
        found.push(Finding::ok("config.keys", "every key is known and every value is valid"));
    }
    if let Some(file) = &examined.config.mediamtx.config_file {
        let fix = "repair the file, or leave mediamtx.config_file empty";
        let file = file.display();
        found.push(match case.as_service(|| app::check_mediamtx(&examined.config, case.environment())) {
            Ok(Ok(())) => Finding::ok("config.mediamtx", format!("{file} can be read and means something")),
            Ok(Err(error)) => Finding::fail("config.mediamtx", error.chain(), fix),
            Err(why) => Finding::skipped("config.mediamtx", why),
        });
    }
    found
}
