//! Measures a request without sockets: bytes in, bytes out, over a store in memory.

use std::hint::black_box;
use std::io::IoSlice;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use evserve::clock::Now;
use evserve::limits::Limits;
use evserve::outbox::Outbox;
use evserve::peer::Peer;
use evserve::protocol::{Kind, Protocol, Step};
use evserve::services::Services;
use evserve::site::Rules;
use evserve::store::{Library, LibraryRules, MemoryStore};

const CURL: &str =
    "GET /1k.html HTTP/1.1\r\nHost: localhost:7890\r\nUser-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";
const BROWSER: &str = "GET /1k.html HTTP/1.1\r\nHost: localhost:7890\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Connection: keep-alive\r\nUpgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\n\
    Sec-Fetch-Mode: navigate\r\nSec-Fetch-Site: none\r\nSec-Fetch-User: ?1\r\nPriority: u=0, i\r\n\r\n";

/// Answers all requests in `input` and discards the output.
fn converse(services: &mut Services, input: &str, outbox: &mut Outbox) {
    let mut protocol = Kind::Http.start(services.core.clock.now.monotonic);
    let mut rest = black_box(input.as_bytes());
    while !rest.is_empty() {
        match protocol.on_input(rest, outbox, &mut services.context(Peer::Unix)) {
            Step::Consumed(count) => rest = &rest[count..],
            step => panic!("{step:?}"),
        }
    }
    while !outbox.is_empty() {
        let mut pieces = [IoSlice::new(&[]); 16];
        let (count, _) = outbox.gather(&mut pieces, usize::MAX);
        let bytes = pieces[..count].iter().map(|piece| black_box(piece).len()).sum();
        outbox.advance(bytes);
    }
}

fn requests(criterion: &mut Criterion) {
    let site = MemoryStore::default().with("1k.html", vec![b'k'; 1024]);
    let rules = LibraryRules { read_only: true, ..LibraryRules::default() };
    let library = Library::open(std::path::Path::new("/"), rules).expect("a library");
    let mut services =
        Services::new(Box::new(site), Rules::default(), library, Limits::default(), Now::read());
    let mut outbox = Outbox::default();
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Elements(1));
    for (name, request) in [("curl", CURL), ("browser", BROWSER)] {
        group.bench_function(name, |bench| bench.iter(|| converse(&mut services, request, &mut outbox)));
    }
    let missing = CURL.replace("1k", "missing");
    group.bench_function("not found", |bench| bench.iter(|| converse(&mut services, &missing, &mut outbox)));
    let refused = "GET / HTTP/1.1\r\nHost: a b\r\n\r\n";
    group.bench_function("refused", |bench| {
        bench.iter(|| {
            let mut protocol = Kind::Http.start(services.core.clock.now.monotonic);
            black_box(protocol.on_input(
                black_box(refused.as_bytes()),
                &mut outbox,
                &mut services.context(Peer::Unix),
            ));
            outbox = Outbox::default();
        });
    });
    let batch = CURL.repeat(16);
    group.throughput(Throughput::Elements(16));
    group.bench_function("16 pipelined", |bench| bench.iter(|| converse(&mut services, &batch, &mut outbox)));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = requests
}
criterion_main!(benches);
