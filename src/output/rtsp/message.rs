//! Requests and replies: what the bindings of GStreamer cannot read of them, and cannot change.
//!
//! Not here: what they mean (`asked`), and what is answered (`door`, `reply`).

use std::{
    ffi::{CStr, CString, c_char},
    net::TcpStream,
    os::fd::AsFd,
    ptr,
};

use gst::{
    glib,
    glib::translate::{Borrowed, IntoGlib, ToGlibPtr, from_glib_borrow},
};
use gst_rtsp::{RTSPAuthParam, RTSPHeaderField, RTSPMethod, ffi, rtsp_message::RTSPMessage};
use gst_rtsp_server::{RTSPClient, RTSPContext, gio};

#[allow(unsafe_code, reason = "the bindings have no getter for it")]
pub(super) fn method(context: &RTSPContext) -> RTSPMethod {
    let context: *mut gst_rtsp_server::ffi::GstRTSPContext = context.to_glib_none().0;
    // SAFETY: the context lives for as long as the request it is borrowed from, and nobody else writes to it.
    RTSPMethod::from_bits_truncate(unsafe { (*context).method })
}

/// The URL of a request, as it was sent.
#[allow(unsafe_code, reason = "the bindings have no getter for it")]
pub(super) fn url(request: &RTSPMessage) -> Option<String> {
    let (mut method, mut url, mut version) = (0, ptr::null(), 0);
    // SAFETY: what is found belongs to the request, which lives for as long as it is borrowed.
    unsafe {
        let found = ffi::gst_rtsp_message_parse_request(request.to_glib_none().0, &mut method, &mut url, &mut version);
        text((found == ffi::GST_RTSP_OK).then_some(url)?)
    }
}

/// Whether all of a request that is read as text is text (UTF-8). The bindings take it for granted.
#[allow(unsafe_code, reason = "the bindings have no getters for it")]
pub(super) fn is_text(request: &RTSPMessage) -> bool {
    let (mut method, mut url, mut version) = (0, ptr::null(), 0);
    let (mut body, mut length) = (ptr::null_mut(), 0);
    let message: *mut ffi::GstRTSPMessage = request.to_glib_none().0;
    // SAFETY: what is found belongs to the request, which lives for as long as it is borrowed; the body has that length.
    let (url, body) = unsafe {
        ffi::gst_rtsp_message_parse_request(message, &mut method, &mut url, &mut version);
        ffi::gst_rtsp_message_get_body(message, &mut body, &mut length);
        let body: &[u8] = if body.is_null() { &[] } else { std::slice::from_raw_parts(body, length as usize) };
        (if url.is_null() { &[] } else { CStr::from_ptr(url).to_bytes() }, body)
    };
    // What is no text was read as the sign for that.
    let shown = list(request, RTSPHeaderField::Authorization);
    str::from_utf8(url).is_ok() && str::from_utf8(body).is_ok() && !shown.iter().any(|shown| shown.contains('\u{fffd}'))
}

/// The status of a reply. `None`: it is a request.
#[allow(unsafe_code, reason = "the bindings have no getter for it")]
pub(super) fn status(reply: &RTSPMessage) -> Option<i32> {
    let (mut status, mut reason, mut version) = (0, ptr::null(), 0);
    let reply: *mut ffi::GstRTSPMessage = reply.to_glib_none().0;
    // SAFETY: it lives for as long as it is borrowed.
    unsafe {
        (ffi::gst_rtsp_message_get_type(reply) == ffi::GST_RTSP_MESSAGE_RESPONSE).then(|| {
            ffi::gst_rtsp_message_parse_response(reply, &mut status, &mut reason, &mut version);
            status
        })
    }
}

/// A header.
pub(super) fn header(message: &RTSPMessage, field: RTSPHeaderField) -> Option<String> {
    nth(message, field, 0)
}

/// What a header lists, which GStreamer takes apart at its commas.
pub(super) fn list(message: &RTSPMessage, field: RTSPHeaderField) -> Vec<String> {
    (0..).map_while(|index| nth(message, field, index)).collect()
}

#[allow(unsafe_code, reason = "the bindings have no getter for them")]
fn nth(message: &RTSPMessage, field: RTSPHeaderField, index: i32) -> Option<String> {
    let mut value = ptr::null_mut();
    // SAFETY: what is found belongs to the message, which lives for as long as it is borrowed.
    unsafe {
        let found = ffi::gst_rtsp_message_get_header(message.to_glib_none().0, field.into_glib(), &mut value, index);
        text((found == ffi::GST_RTSP_OK).then_some(value)?)
    }
}

/// Says it in this header, and nothing else.
pub(super) fn set_header(message: &RTSPMessage, field: RTSPHeaderField, value: &str) {
    remove_header(message, field);
    message.add_header(field, value);
}

/// Takes a header away, however often it is there.
#[allow(unsafe_code, reason = "the bindings do not have it")]
pub(super) fn remove_header(message: &RTSPMessage, field: RTSPHeaderField) {
    // SAFETY: the message lives for as long as it is borrowed, and only the thread of its connection has it.
    unsafe {
        ffi::gst_rtsp_message_remove_header(message.to_glib_none().0, field.into_glib(), -1);
    }
}

/// Gives the URL that a request is handled by this path, and no query.
#[allow(unsafe_code, reason = "the bindings cannot do it")]
pub(super) fn set_path(context: &RTSPContext, path: &str) {
    // It came from a URL that ended with a zero.
    let Ok(path) = CString::new(path) else { return };
    let context: *mut gst_rtsp_server::ffi::GstRTSPContext = context.to_glib_none().0;
    // SAFETY: the URL is the request's own, which only this thread has, and whoever frees it frees these.
    unsafe {
        let Some(url) = (*context).uri.as_mut() else { return };
        glib::ffi::g_free(url.abspath.cast());
        url.abspath = glib::ffi::g_strdup(path.as_ptr());
        glib::ffi::g_free(url.query.cast());
        url.query = ptr::null_mut();
    }
}

/// The path and the query of the URL that a request is handled by.
#[allow(unsafe_code, reason = "the bindings have no getters for them")]
pub(super) fn path_and_query(context: &RTSPContext) -> Option<(String, String)> {
    let context: *mut gst_rtsp_server::ffi::GstRTSPContext = context.to_glib_none().0;
    // SAFETY: the URL is the request's own, which lives for as long as it is borrowed.
    unsafe {
        let url = (*context).uri.as_ref()?;
        Some((text(url.abspath)?, text(url.query).unwrap_or_default()))
    }
}

/// A field of credentials, its name in small letters.
#[allow(unsafe_code, reason = "the bindings have no getters for them")]
pub(super) fn field(field: &RTSPAuthParam) -> Option<(String, String)> {
    let field: *mut ffi::GstRTSPAuthParam = field.to_glib_none().0;
    // SAFETY: the field lives for as long as it is borrowed.
    unsafe { Some((text((*field).name)?.to_ascii_lowercase(), text((*field).value)?)) }
}

/// Shows a reply that is about to be sent; the signal is `send-message`.
#[allow(unsafe_code, reason = "the bindings do not have the signal")]
pub(super) fn shown<T>(values: &[glib::Value], look: impl FnOnce(&RTSPMessage) -> T) -> Option<T> {
    let message: *mut ffi::GstRTSPMessage = values.get(2)?.get::<glib::Pointer>().ok()?.cast();
    if message.is_null() {
        return None;
    }
    // SAFETY: the third value is the message, which lives for as long as the signal is emitted.
    let message: Borrowed<RTSPMessage> = unsafe { from_glib_borrow(message) };
    Some(look(&message))
}

/// What a client is read from if that is not what it is written to (RTSP over HTTP). Only for the thread that reads it:
/// nobody else changes it.
#[allow(unsafe_code, reason = "the bindings do not have connections")]
pub(super) fn read_apart(client: &RTSPClient) -> Option<TcpStream> {
    // SAFETY: the sockets belong to the connection, and that to the client, which lives for as long as it is borrowed.
    let read: Borrowed<gio::Socket> = unsafe {
        let connection = gst_rtsp_server::ffi::gst_rtsp_client_get_connection(client.to_glib_none().0);
        let read = (!connection.is_null()).then(|| ffi::gst_rtsp_connection_get_read_socket(connection))?;
        if read.is_null() || read == ffi::gst_rtsp_connection_get_write_socket(connection) {
            return None;
        }
        from_glib_borrow(read)
    };
    Some(read.as_fd().try_clone_to_owned().ok()?.into())
}

/// # Safety
/// What it points to, if to anything, ends with a zero and lives meanwhile.
#[allow(unsafe_code, reason = "C's strings")]
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: as above.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
