//! Calls into C that have no safe wrapper: the only file with unsafe code.

use std::{
    ffi::{CStr, c_char, c_void},
    ptr,
};

use rdkafka::{
    bindings::{rd_kafka_header_get_all, rd_kafka_message_headers, rd_kafka_resp_err_t},
    message::BorrowedMessage,
};

/// Gives free pages back to the system. glibc does so only at the end of a heap: buffers of a copy leave holes before it, 10 to 25 MB of them
/// for as long as the worker lives. Takes less than a millisecond for what is there after a copy.
pub(crate) fn give_back_memory() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "malloc_trim(3) has no safe wrapper")]
    // SAFETY: it takes no pointer and locks each heap it works on.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// The headers of a message. rdkafka's own way ends the process where a key is not UTF-8.
#[expect(unsafe_code, reason = "rdkafka hands out keys of headers as text only")]
pub(crate) fn headers(message: &BorrowedMessage<'_>) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    let mut headers = ptr::null_mut();
    // SAFETY: the message is alive; what it tells of its headers lives as long as it does, and nobody else has it meanwhile.
    let found = unsafe { rd_kafka_message_headers(message.ptr(), &raw mut headers) };
    if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return all;
    }
    loop {
        let (mut key, mut value, mut length): (*const c_char, *const c_void, usize) = (ptr::null(), ptr::null(), 0);
        // SAFETY: as above; an index beyond the last is answered by an error.
        let told =
            unsafe { rd_kafka_header_get_all(headers, all.len(), &raw mut key, &raw mut value, &raw mut length) };
        if told != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || key.is_null() {
            return all;
        }
        // SAFETY: librdkafka ends keys with a zero byte, and a value that is not null has that length.
        all.push(unsafe {
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), length).to_vec());
            (CStr::from_ptr(key).to_bytes().to_vec(), value)
        });
    }
}
