//! `cargo bench`: calls and streams with our client and with the raw stub, side by side.
//!
//! `cargo xtask bench` has the numbers that we hold ourselves to; this is for watching them change.

use benches::access::Server;
use benches::{raw, stream, unary};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

const READ: usize = 4 * stream::MIB;

fn calls(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let (text, serving) = runtime.block_on(benches::server::start()).expect("a server");
    runtime.spawn(serving);
    let server = Server::at(&text).expect("a talosconfig");
    let _context = runtime.enter();
    let node = server
        .client()
        .and_then(|client| Ok(client.node(unary::NODE)?))
        .expect("a node");
    let stub = raw::stub(&server).expect("a stub");

    let mut group = criterion.benchmark_group("version");
    group.bench_function("talos-client", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { unary::ours(&node).await.expect("answered") });
    });
    group.bench_function("raw stub", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { unary::theirs(&stub).await.expect("answered") });
    });
    group.finish();

    let mut group = criterion.benchmark_group("read 4 MiB");
    group.throughput(Throughput::Bytes(READ as u64)).sample_size(20);
    group.bench_function("talos-client", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { stream::ours(&node, READ).await.expect("read") });
    });
    group.bench_function("raw stub", |bencher| {
        bencher
            .to_async(&runtime)
            .iter(|| async { stream::theirs(&stub, READ).await.expect("read") });
    });
    group.finish();
}

criterion_group!(benches_of_calls, calls);
criterion_main!(benches_of_calls);
