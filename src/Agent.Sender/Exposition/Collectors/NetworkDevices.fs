/// What /sys says of network interfaces, and of the bonds among them.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NetworkDevices

open System
open System.Collections.Generic
open Agent.Core
open Agent.Outbound
open Agent.Core.Sys

let private device = [| "device" |]

// ---- Interfaces: /sys/class/net --------------------------------------------------------------------------------------------

/// A property of an interface: its file, and its name behind `node_network_`. Those that only grow end in `_total`.
let private properties: Numbers.NumberFile[] =
    [|
        "addr_assign_type", "address_assign_type"
        "carrier", "carrier"
        "carrier_changes", "carrier_changes_total"
        "carrier_down_count", "carrier_down_changes_total"
        "carrier_up_count", "carrier_up_changes_total"
        "dev_id", "device_id"
        "dormant", "dormant"
        "flags", "flags"
        "ifindex", "iface_id"
        "iflink", "iface_link"
        "link_mode", "iface_link_mode"
        "mtu", "mtu_bytes"
        "name_assign_type", "name_assign_type"
        "netdev_group", "net_dev_group"
        "speed", "speed_bytes"
        "tx_queue_len", "transmit_queue_length"
        "type", "protocol_type"
    |]
    |> Array.map (fun (file, name) ->
        let kind =
            if name.EndsWith("_total", StringComparison.Ordinal) then
                MetricKind.Counter
            else
                MetricKind.Gauge

        {
            File = file
            Family = Family.labelled device kind ("node_network_" + name) ("Network device property: " + name)
            // The file has Mbit/s.
            Scale = if file = "speed" then 125_000.0 else 1.0
            IsFigure = if file = "speed" then LinkSpeed.isKnown else fun _ -> true
        })

let private up =
    Family.labelled device MetricKind.Gauge "node_network_up" "Value is 1 if operstate is 'up', 0 otherwise."

/// Files of words, which are labels of their own names.
let private words = [| "address"; "broadcast"; "duplex"; "ifalias"; "operstate" |]

let private info =
    Family.labelled
        (Array.append device words)
        MetricKind.Gauge
        "node_network_info"
        "Non-numeric data from /sys/class/net/<iface>, value is always 1."

let private interfaces (facts: CollectorFacts) (texts: FileText[]) (figures: Figures) =
    let told =
        texts
        |> Array.filter (fun text -> facts.Interfaces.Length = 0 || Array.contains text.Names[0] facts.Interfaces)

    Numbers.ofFiles properties id told figures

    // The files of an interface stand together.
    let mutable from = 0

    while from < told.Length do
        let name = told[from].Names[0]
        let labels = Array.create (words.Length + 1) ""
        labels[0] <- name

        while from < told.Length && told[from].Names[0] = name do
            let at = Array.IndexOf(words, told[from].File)

            if at >= 0 then
                labels[at + 1] <- Numbers.line told[from]

            from <- from + 1

        figures.Add(up, [| name |], (if labels[words.Length] = "up" then 1.0 else 0.0))
        figures.Add(info, labels, 1.0)

// ---- Bonds: /sys/class/net/*/bonding ---------------------------------------------------------------------------------------

let private slaves =
    Family.labelled [| "master" |] MetricKind.Gauge "node_bonding_slaves" "Number of configured slaves per bonding interface."

let private active =
    Family.labelled [| "master" |] MetricKind.Gauge "node_bonding_active" "Number of active slaves per bonding interface."

let private bonds _ (texts: FileText[]) (figures: Figures) =
    let working = HashSet<string>(StringComparer.Ordinal)

    for text in texts do
        if text.File = "mii_status" && Numbers.line text = "up" then
            working.Add text.Names[0] |> ignore

    for text in texts do
        if text.File = "slaves" then
            let names = (Numbers.line text).Split(' ', StringSplitOptions.RemoveEmptyEntries)
            figures.Add(slaves, text.Names, float names.Length)
            figures.Add(active, text.Names, float (names |> Array.filter working.Contains |> Array.length))

/// The collectors.
let all: Collector[] =
    let news = [| "carrier_changes"; "operstate" |]

    [|
        Collector(
            "netclass",
            true,
            [|
                // A link that goes up or down counts its change; anything else of these is what somebody has set.
                FileSet
                    .Sys("class/net/*", news)
                    .And(
                        Array.append (properties |> Array.map _.File) words
                        |> Array.filter (fun file -> not (Array.contains file news))
                    )
            |],
            interfaces
        )
        Collector(
            "bonding",
            true,
            [|
                FileSet.Sys("class/net/*/bonding", [| "slaves" |])
                FileSet.Sys("class/net/*/bonding_slave", [| "mii_status" |])
            |],
            bonds
        )
    |]
