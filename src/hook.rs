//! Programs of others that are started when something happens, and ended when it is over.
//!
//! A command is split into words as a shell would, and no shell runs it: what a variable holds stays one word, whatever
//! is in it. It has a process group of its own, which is told to end as a whole.

use std::{collections::BTreeMap, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// The pause before a command that ended is run again.
const PAUSE: Duration = Duration::from_secs(5);
/// How long a command may take to end when it is told to, before it is killed.
const ENDING: Duration = Duration::from_secs(5);

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The command line. `$NAME` and `${NAME}` in it stand for variables: these, else those of this process.
    pub command: String,
    /// Run it again when it ends.
    pub restart: bool,
    /// Its environment, besides that of this process.
    pub environment: BTreeMap<String, String>,
}

/// A command that runs. Dropping it tells it to end, and does not wait.
#[derive(Debug)]
pub struct Hook {
    over: CancellationToken,
    done: Option<JoinHandle<()>>,
}

impl Hook {
    /// Starts a command. What goes wrong with it is in the log.
    pub fn start(order: Order) -> Self {
        let over = CancellationToken::new();
        let done = Some(tokio::spawn(run(order, over.clone())));
        Self { over, done }
    }

    /// Tells it to end and waits until it has, killing it at last.
    pub async fn stop(mut self) {
        self.over.cancel();
        self.ended().await;
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        self.done.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        if let Some(done) = self.done.take() {
            let _ = done.await;
        }
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

async fn run(order: Order, over: CancellationToken) {
    let Some(words) = words(&order) else { return tracing::error!("a hook's command has quotes that do not end") };
    let Some((program, arguments)) = words.split_first() else { return };
    loop {
        let mut command = Command::new(program);
        command.args(arguments).envs(&order.environment).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        match command.spawn() {
            Ok(child) => {
                if !watch(child, program, &over).await {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, program, "a hook's command cannot be run"),
        }
        if !order.restart || over.run_until_cancelled(sleep(PAUSE)).await.is_none() {
            return;
        }
    }
}

/// Waits for a command to end. False: it was told to.
async fn watch(mut child: Child, program: &str, over: &CancellationToken) -> bool {
    if let Some(ended) = over.run_until_cancelled(child.wait()).await {
        match ended {
            Ok(status) if status.success() => tracing::debug!(program, "a hook's command has ended"),
            Ok(status) => tracing::warn!(program, %status, "a hook's command has failed"),
            Err(error) => tracing::error!(program, %error, "a hook's command was lost"),
        }
        return true;
    }
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    for signal in [Signal::INT, Signal::KILL] {
        if let Some(group) = group {
            // Fails when all of it has ended.
            let _ = kill_process_group(group, signal);
        }
        if timeout(ENDING, child.wait()).await.is_ok() {
            break;
        }
    }
    false
}

/// The command's words, variables filled in. `None`: its quotes do not match.
fn words(order: &Order) -> Option<Vec<String>> {
    let known = |name: &str| order.environment.get(name).cloned().or_else(|| std::env::var(name).ok());
    let words = shlex::split(&order.command)?;
    Some(words.iter().map(|word| filled(word, &known)).collect())
}

fn filled(word: &str, known: &impl Fn(&str) -> Option<String>) -> String {
    let mut filled = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        filled.push_str(&rest[..at]);
        let variable = &rest[at + 1..];
        let (name, after) = match variable.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some((name, after)) => (name, after),
            None => {
                let end = variable.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(variable.len());
                variable.split_at(end)
            }
        };
        match name {
            "" => filled.push('$'),
            name => filled.push_str(&known(name).unwrap_or_default()),
        }
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(command: &str) -> Order {
        let environment = [("MTX_PATH", "a b; $(reboot)"), ("G1", "x")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Order { command: command.into(), restart: false, environment }
    }

    #[test]
    fn words_are_a_shells_and_what_a_variable_holds_is_one_of_them() {
        for (command, expected) in [
            ("run 'a b' \"c d\" e\\ f", Some(vec!["run", "a b", "c d", "e f"])),
            ("run $MTX_PATH ${G1}y $G1", Some(vec!["run", "a b; $(reboot)", "xy", "x"])),
            ("run $ $NOT_SET_ANYWHERE_ $$", Some(vec!["run", "$", "", "$$"])),
            ("", Some(vec![])),
            ("run 'a", None),
        ] {
            assert_eq!(
                words(&order(command)).as_deref().map(|words| words.iter().map(String::as_str).collect()),
                expected
            );
        }
    }

    #[tokio::test]
    async fn a_command_ends_with_all_that_it_started_when_it_is_told_to() {
        let folder = tempfile::tempdir().unwrap();
        let [started, ended] = ["started", "ended"].map(|name| folder.path().join(name));
        let script = format!(
            "trap 'echo told > {}; exit' INT; echo yes > {}; while :; do sleep 0.05; done",
            ended.display(),
            started.display()
        );
        let hook = Hook::start(order(&format!("sh -c {}", shlex::try_quote(&script).unwrap())));
        while !started.exists() {
            tokio::task::yield_now().await;
        }
        hook.stop().await;
        assert_eq!(std::fs::read_to_string(&ended).unwrap(), "told\n");
        let mut once = Hook::start(order("true"));
        once.ended().await;
    }
}
