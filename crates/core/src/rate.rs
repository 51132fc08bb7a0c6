//! Reads rates (bytes per second), as the user or a list states them.

/// Reads a number of bytes per second, such as `500`, `2k`, `1.5M` or `2MB/s`. The units are powers of 1024,
/// as in curl, wget and aria2.
///
/// # Errors
/// If the text is not a rate, or if the rate is 9e15 or higher, returns a description of the required form,
/// in words for the user.
pub fn read(text: &str) -> Result<u64, String> {
    let bad = || "it must be a number with an optional k, M or G, such as 500k or 2MB/s".to_string();
    let amount = text.strip_suffix("/s").or_else(|| text.strip_suffix("/S")).unwrap_or(text);
    let number = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: f64 = match amount[number.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" | "kib" => 1024.0,
        "m" | "mb" | "mib" => 1024.0 * 1024.0,
        "g" | "gb" | "gib" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(bad()),
    };
    let bytes = number.trim_end().parse::<f64>().map_err(|_| bad())? * factor;
    // Above 2^53 (about 9e15), an f64 is not exact. No line is that fast.
    if (0.0..9e15).contains(&bytes) { Ok(bytes as u64) } else { Err(bad()) }
}
