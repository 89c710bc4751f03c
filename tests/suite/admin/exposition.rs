//! Parses the text formats of metrics strictly: Prometheus' 0.0.4, and OpenMetrics 1.0.0. A violation is a panic.

use std::collections::{BTreeMap, BTreeSet};

/// A family of metrics.
#[derive(Debug)]
pub struct Family {
    pub name: String,
    pub kind: String,
    pub samples: Vec<Sample>,
}

/// A line with a value.
#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// The metrics of one scrape.
#[derive(Debug)]
pub struct Exposition(pub Vec<Family>);

impl Exposition {
    /// Parses a text. In OpenMetrics, the name of a family of counters has no `_total`.
    #[track_caller]
    pub fn parse(text: &str, is_open: bool) -> Exposition {
        assert!(text.ends_with('\n'), "the last line is incomplete");
        let mut families: Vec<Family> = Vec::new();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            if line == "# EOF" && is_open {
                assert_eq!(lines.next(), None, "lines behind the end");
                break;
            }
            let Some(help) = line.strip_prefix("# HELP ") else {
                let family = families.last_mut().unwrap_or_else(|| panic!("{line:?} has no family"));
                family.samples.push(Sample::parse(line));
                continue;
            };
            let (name, text) = help.split_once(' ').unwrap();
            assert!(text.ends_with('.') && !text.contains('\\'), "{line:?}");
            let kind = lines.next().and_then(|line| line.strip_prefix(&format!("# TYPE {name} ")));
            let kind = kind.unwrap_or_else(|| panic!("{name} has no type"));
            families.push(Family { name: name.to_owned(), kind: kind.to_owned(), samples: Vec::new() });
        }
        let exposition = Exposition(families);
        exposition.check(is_open);
        exposition
    }

    fn check(&self, is_open: bool) {
        let mut names = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for family in &self.0 {
            let Family { name, kind, samples } = family;
            assert!(names.insert(name), "{name} is there twice");
            assert!(!samples.is_empty(), "{name} has no samples");
            let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            assert!(name.chars().all(is_name), "{name}");
            let suffixes: &[&str] = match (kind.as_str(), is_open) {
                ("gauge", _) => &[""],
                ("counter", true) => &["_total"],
                ("counter", false) => &[""],
                ("histogram", _) => &["_bucket", "_sum", "_count"],
                _ => panic!("{name} is a {kind}"),
            };
            assert_eq!(name.ends_with("_total"), kind == "counter" && !is_open, "{name}");
            for sample in samples {
                let suffix = sample.name.strip_prefix(name.as_str());
                assert!(suffix.is_some_and(|suffix| suffixes.contains(&suffix)), "{sample:?} in {name}");
                assert!(seen.insert((&sample.name, &sample.labels)), "{sample:?} is there twice");
                assert!(sample.value.is_finite() && sample.value >= 0.0, "{sample:?}");
            }
            if kind == "histogram" {
                family.check_buckets();
            }
        }
    }

    /// Returns the values of the samples with this name.
    #[track_caller]
    pub fn all(&self, name: &str) -> Vec<&Sample> {
        let samples = self.0.iter().flat_map(|family| &family.samples);
        let found: Vec<&Sample> = samples.filter(|sample| sample.name == name).collect();
        assert!(!found.is_empty(), "no {name}");
        found
    }

    /// Returns the value of the only sample with this name, as the whole number that it has to be.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let [sample] = self.all(name)[..] else { panic!("{name} has several samples") };
        sample.whole()
    }

    /// Returns the whole numbers of a family with one label, by its values.
    #[track_caller]
    pub fn by(&self, name: &str, label: &str) -> BTreeMap<String, u64> {
        self.all(name).iter().map(|sample| (sample.labels[label].clone(), sample.whole())).collect()
    }

    /// Returns the names of all families and samples.
    pub fn names(&self) -> BTreeSet<&str> {
        let samples = self.0.iter().flat_map(|family| &family.samples).map(|sample| sample.name.as_str());
        self.0.iter().map(|family| family.name.as_str()).chain(samples).collect()
    }
}

impl Family {
    /// Checks that the buckets are in order and cumulative, and that the last one counts everything.
    fn check_buckets(&self) {
        let of = |suffix: &str| {
            let name = format!("{}{suffix}", self.name);
            self.samples.iter().filter(move |sample| sample.name == name)
        };
        let buckets: Vec<(f64, f64)> = of("_bucket")
            .map(|sample| {
                let bound = &sample.labels["le"];
                assert!(bound.len() <= 8, "{bound} is not rounded");
                (bound.replace("+Inf", "inf").parse().unwrap(), sample.value)
            })
            .collect();
        assert!(buckets.len() > 10, "{buckets:?}");
        let is_sorted = buckets.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
        assert!(is_sorted, "{buckets:?}");
        let (last, all) = buckets[buckets.len() - 1];
        let counts: Vec<f64> = of("_count").map(|sample| sample.value).collect();
        assert_eq!((last, vec![all], of("_sum").count()), (f64::INFINITY, counts, 1));
    }
}

impl Sample {
    fn parse(line: &str) -> Sample {
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?} has no value"));
        let (name, labels) = match name.split_once('{') {
            None => (name, BTreeMap::new()),
            Some((name, labels)) => {
                let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("{line:?}"));
                let pairs = labels.split(',').map(|pair| {
                    let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line:?}"));
                    let value = value.strip_suffix('"').unwrap_or_else(|| panic!("{line:?}"));
                    assert!(!value.contains(['"', '\\']), "{line:?}");
                    (label.to_owned(), value.to_owned())
                });
                (name, pairs.collect())
            }
        };
        let value = value.parse().unwrap_or_else(|_| panic!("{line:?} has no number"));
        Sample { name: name.to_owned(), labels, value }
    }

    #[track_caller]
    fn whole(&self) -> u64 {
        assert_eq!(self.value.fract(), 0.0, "{self:?}");
        self.value as u64
    }
}

#[test]
#[should_panic(expected = "is there twice")]
fn a_family_that_is_there_twice_is_noticed() {
    let family = "# HELP a b.\n# TYPE a gauge\na 1\n";
    Exposition::parse(&family.repeat(2), false);
}
