//! Hours of the day (UTC) in which automatic compaction may begin.

use std::fmt;

const MINUTE_MS: u64 = 60_000;
const DAY_MINUTES: u32 = 24 * 60;

/// Minutes of the day, `to` excluded. Spans midnight if `from` is the larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DailyWindow {
    from: u32,
    to: u32,
}

/// A list of windows. An empty list, the default, is always open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Windows {
    list: Vec<DailyWindow>,
}

impl Windows {
    /// Parses windows such as `22:00-06:00`, separated by commas. Empty text gives an empty list.
    ///
    /// # Errors
    /// Says what was expected and shows the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let window = |part: &str| {
            let both = part.split_once('-').and_then(|(from, to)| Some((minute(from)?, minute(to)?)));
            match both {
                Some((from, to)) if from != to => Ok(DailyWindow { from, to: to % DAY_MINUTES }),
                _ => Err(format!("expected windows of two different times of the day, e.g. 22:00-06:00, not {part:?}")),
            }
        };
        Ok(Self { list: parts.map(window).collect::<Result<_, _>>()? })
    }

    /// True inside a window, and always for an empty list. Takes milliseconds since 1970.
    pub fn is_open(&self, now_ms: u64) -> bool {
        let minute = minute_of_day(now_ms);
        self.list.is_empty()
            || self.list.iter().any(|w| {
                if w.from < w.to { (w.from..w.to).contains(&minute) } else { minute >= w.from || minute < w.to }
            })
    }

    /// When the answer of [`Self::is_open`] changes next, in milliseconds since 1970. `None`: never.
    pub fn next_change_ms(&self, now_ms: u64) -> Option<u64> {
        let open = self.is_open(now_ms);
        let this_minute = now_ms / MINUTE_MS * MINUTE_MS;
        let edges = self.list.iter().flat_map(|w| [w.from, w.to]);
        let ahead = edges.map(|edge| {
            let minutes = (edge + DAY_MINUTES - minute_of_day(now_ms)) % DAY_MINUTES;
            let minutes = if minutes == 0 { DAY_MINUTES } else { minutes };
            this_minute + u64::from(minutes) * MINUTE_MS
        });
        // Nothing changes where two windows meet.
        ahead.filter(|at| self.is_open(*at) != open).min()
    }
}

fn minute_of_day(ms: u64) -> u32 {
    ((ms / MINUTE_MS) % u64::from(DAY_MINUTES)) as u32
}

/// `HH:MM`, up to 24:00.
fn minute(text: &str) -> Option<u32> {
    let (hours, minutes) = text.trim().split_once(':')?;
    let number = |text: &str| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().ok()).flatten()
    };
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (minutes < 60 && hours * 60 + minutes <= DAY_MINUTES).then_some(hours * 60 + minutes)
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, DailyWindow { from, to }) in self.list.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    /// 20,000 days after 1970, at this time of the day.
    fn at(hours: u64, minutes: u64) -> u64 {
        20_000 * DAY_MS + (hours * 60 + minutes) * MINUTE_MS
    }

    #[rstest]
    #[case::none("", &[(0, 0), (12, 0)], &[])]
    #[case::over_midnight("22:00-06:00", &[(22, 0), (23, 59), (0, 0), (5, 59)], &[(6, 0), (21, 59)])]
    #[case::two("01:00-02:00, 12:30-13:00", &[(1, 0), (12, 45)], &[(2, 0), (12, 29), (13, 0)])]
    #[case::to_the_end("20:00-24:00", &[(20, 0), (23, 59)], &[(0, 0), (19, 59)])]
    fn opens_and_closes(#[case] text: &str, #[case] open: &[(u64, u64)], #[case] closed: &[(u64, u64)]) {
        let windows = Windows::parse(text).unwrap();
        for (hours, minutes) in open {
            assert!(windows.is_open(at(*hours, *minutes)), "{hours}:{minutes}");
        }
        for (hours, minutes) in closed {
            assert!(!windows.is_open(at(*hours, *minutes)), "{hours}:{minutes}");
        }
    }

    #[rstest]
    #[case("22:00")]
    #[case("22-06")]
    #[case("25:00-06:00")]
    #[case("24:01-06:00")]
    #[case("10:60-11:00")]
    #[case("10:00-10:00")]
    #[case("+1:00-02:00")]
    #[case("22:00-06:00;07:00-08:00")]
    fn refuses(#[case] text: &str) {
        let error = Windows::parse(text).unwrap_err();
        assert!(error.contains("22:00-06:00") && error.contains(text), "{error}");
    }

    proptest! {
        #[test]
        fn text_and_change(list in prop::collection::vec((0..1440u32, 0..1440u32), 0..4), now in 0..3 * DAY_MS) {
            let list: Vec<DailyWindow> =
                list.into_iter().filter(|(from, to)| from != to).map(|(from, to)| DailyWindow { from, to }).collect();
            let windows = Windows { list };
            prop_assert_eq!(Windows::parse(&windows.to_string()), Ok(windows.clone()));
            let open = windows.is_open(now);
            let first = (now / MINUTE_MS + 1..=now / MINUTE_MS + 1440).map(|m| m * MINUTE_MS);
            let expected = first.into_iter().find(|ms| windows.is_open(*ms) != open);
            prop_assert_eq!(windows.next_change_ms(now), expected);
        }
    }
}
