//! Days, months and years.

/// A time in UTC, by the Gregorian calendar.
pub(super) struct Time {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) day_of_year: i64,
    /// Monday is 1.
    pub(super) day_of_week: i64,
    pub(super) milli_of_day: i64,
}

const MILLIS_PER_DAY: i64 = 86_400_000;

impl Time {
    /// Of a time in ms since 1970 (UTC).
    pub(super) fn of(timestamp: i64) -> Self {
        let days = timestamp.div_euclid(MILLIS_PER_DAY);
        // Years from March on, so that a leap day is the last; 400 years have 146,097 days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_from_march = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_from_march + 2) / 153;
        let day = day_from_march - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        // January and February are the last 306th day on.
        let day_of_year = if month <= 2 { day_from_march - 305 } else { day_from_march + 60 + i64::from(is_leap) };
        Self {
            year,
            month,
            day,
            day_of_year,
            day_of_week: (days + 3).rem_euclid(7) + 1,
            milli_of_day: timestamp.rem_euclid(MILLIS_PER_DAY),
        }
    }
}

/// A time, ms since 1970 (UTC), as RFC 3339 has it: `2026-11-21T20:14:32.001Z`.
#[must_use]
pub fn rfc3339(timestamp: i64) -> String {
    let Time { year, month, day, milli_of_day, .. } = Time::of(timestamp);
    let (hour, minute) = (milli_of_day / 3_600_000, milli_of_day / 60_000 % 60);
    let (second, milli) = (milli_of_day / 1_000 % 60, milli_of_day % 1_000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        for (timestamp, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (1_795_292_072_001, "2026-11-21T20:14:32.001Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc3339(timestamp), text);
        }
    }
}
