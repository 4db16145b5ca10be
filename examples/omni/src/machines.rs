//! What is shown of the machines.

use talos_client::{Client, Node, Nodes, Result, resource::runtime::MachineStatus};

/// One line of the table.
struct Machine {
    hostname: String,
    release: String,
    stage: String,
    ready: bool,
}

/// The nodes that were named, else those of the context, else all members.
pub(crate) async fn nodes(client: &Client, named: &[String]) -> Result<Nodes> {
    if !named.is_empty() {
        return client.nodes(named);
    }
    let of_context = client.context_nodes();
    if !of_context.is_empty() {
        return Ok(of_context.into_iter().collect());
    }
    // The talosconfigs that Omni hands out list no nodes.
    let (members, _) = client.discover().await?;
    Ok(members.into_iter().map(|member| member.node).collect())
}

/// Prints a line for each; true if at least one answered.
#[expect(clippy::print_stdout, reason = "this is what the program is for")]
pub(crate) async fn print(nodes: Nodes) -> bool {
    let machines = nodes.each(|node| async move { Machine::of(&node).await }).await;
    println!(
        "{:12} {:22} {:10} {:12} READY",
        "NODE", "HOSTNAME", "TALOS", "STAGE"
    );
    for (name, machine) in machines.iter() {
        match machine {
            Ok(machine) => println!(
                "{:12} {:22} {:10} {:12} {}",
                name.as_str(),
                machine.hostname,
                machine.release,
                machine.stage,
                if machine.ready { "yes" } else { "no" }
            ),
            Err(error) => println!("{:12} {error}", name.as_str()),
        }
    }
    machines.successes().next().is_some()
}

impl Machine {
    async fn of(node: &Node) -> Result<Self> {
        let resources = node.resources();
        let (hostname, version, status) =
            tokio::try_join!(node.hostname(), node.version(), resources.get::<MachineStatus>())?;
        Ok(Self {
            hostname,
            release: version.tag().to_owned(),
            stage: status.spec.stage.to_string(),
            ready: status.spec.ready,
        })
    }
}
