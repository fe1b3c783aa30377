module Agent.Sender.Tests.CollectorTests

open System
open System.Text.RegularExpressions
open Agent.Core.Units
open Agent.Sender
open Agent.TestSupport.Readings
open Agent.TestSupport.Fixtures
open Expecto

/// Pages of 4 KiB, and all interfaces.
let private facts: CollectorFacts =
    {
        PageSize = 4096UL<B>
        Interfaces = [||]
    }

/// What the collectors make of these files, each a path below its directory and a text, with the stars' names.
let private told (collector: string) (texts: (string list * string * string) list) : (string * float) list =
    let reading: CollectorReading =
        {
            Collector = Collectors.all |> Array.find (fun one -> one.Name = collector)
            Texts =
                [|
                    for names, file, text in texts do
                        {
                            Names = Array.ofList names
                            File = file
                            Text = ReadOnlyMemory(utf8 text)
                        }
                |]
            Took = TimeSpan.Zero
        }

    [
        for family in (Collectors.figuresOf facts [| reading |]).Families do
            for figure in family do
                String.concat "," (figure.Family.Name :: List.ofArray figure.Labels), figure.Value
    ]

let private seriesOf (line: string) : string * (string * string) list =
    let labels =
        [
            for label in Regex.Matches(line, "([a-z_]+)=\"((?:[^\"\\\\]|\\\\.)*)\"") do
                label.Groups[1].Value, Regex.Unescape label.Groups[2].Value
        ]

    line.Split([| '{'; ' ' |])[0], List.sort labels

[<Tests>]
let tests =
    testList
        "Collectors"
        [
            testCase "of a made-up machine they say what node_exporter says, series for series"
            <| fun () ->
                let theirs =
                    (text "exporters/node_exporter-1.5.0-of-collectors.txt").Split('\n', StringSplitOptions.RemoveEmptyEntries)
                    |> Array.filter (fun line -> not (line.StartsWith '#'))
                    |> Array.map (fun line -> seriesOf line, Double.Parse(line.Substring(line.LastIndexOf ' ')))
                    // An interface without a speed has none here.
                    |> Array.filter (fun ((name, _), value) -> not (name = "node_network_speed_bytes" && value < 0.0))
                    |> Map.ofArray

                let ours =
                    Map.ofList
                        [
                            for figures in (Collectors.figuresOf facts (collectorsOf "collectors")).Families do
                                for figure in figures do
                                    let labels = Array.zip figure.Family.Labels figure.Labels |> List.ofArray
                                    (figure.Family.Name, List.sort labels), figure.Value
                        ]

                // Which 1.5 does not read.
                let newer = text "exporters/node_exporter-hw_counters.txt"

                let isNewer (name, _) =
                    newer.Contains($"# TYPE {name} ", StringComparison.Ordinal)

                Expect.isGreaterThan theirs.Count 450 "series"

                Expect.equal
                    [
                        for KeyValue(series, value) in theirs do
                            match Map.tryFind series ours with
                            | Some our when abs (our - value) <= 1e-12 * abs value -> ()
                            | our -> $"{series}: {our}, there {value}"
                    ]
                    []
                    "differences"

                Expect.equal
                    [
                        for KeyValue(series, _) in ours do
                            if not (theirs.ContainsKey series || isNewer series) then
                                series
                    ]
                    []
                    "only here"

                Expect.equal (ours.Keys |> Seq.filter isNewer |> Seq.length) 58 "counters of the hardware, of two ports"
                // The fixture's first port counts from 300 on.
                Expect.equal
                    (Map.tryFind ("node_infiniband_out_of_sequence_packets_received_total", [ "device", "mlx5_0"; "port", "1" ]) ours)
                    (Some 307.0)
                    "out of sequence"

            testCase "every collector of the made-up machine says something"
            <| fun () ->
                let silent =
                    collectorsOf "collectors"
                    |> Array.filter (fun reading -> (Collectors.figuresOf facts [| reading |]).Families.Count = 0)
                    |> Array.map (fun reading -> reading.Collector.Name)

                Expect.equal silent [||] "silent"

            testCase "a machine that has none of their files has none of their families"
            <| fun () -> Expect.equal (Collectors.figuresOf facts (collectorsOf "no-such-machine")).Families.Count 0 "families"

            testCase "a bad line costs itself"
            <| fun () ->
                Expect.equal
                    (told "vmstat" [ [], "vmstat", "pgpgin many\npgpgout 7\npswpin\noom_kill 1\n" ])
                    [ "node_vmstat_pgpgout", 7.0; "node_vmstat_oom_kill", 1.0 ]
                    "vmstat"

                Expect.equal
                    (told
                        "softnet"
                        [
                            [], "softnet_stat", "0000000a 00000001 00000002 0\nnot hexadecimal 1 2\n0000000b 00000000 00000003 0\n"
                        ]
                     |> List.filter (fun (name, _) -> name.Contains "processed"))
                    [
                        "node_softnet_processed_total,0", 10.0
                        "node_softnet_processed_total,2", 11.0
                    ]
                    "softnet_stat"

                Expect.equal
                    (told
                        "netstat"
                        [
                            [], "snmp", "Tcp: InSegs OutSegs CurrEstab\nTcp: 1 x 3\nUdp: NoPorts\nIp: Forwarding\nIp: 2\n"
                        ])
                    [
                        "node_netstat_Tcp_InSegs", 1.0
                        "node_netstat_Tcp_CurrEstab", 3.0
                        "node_netstat_Ip_Forwarding", 2.0
                    ]
                    "snmp"

                Expect.equal
                    (told "udp_queues" [ [], "udp", "sl\n 1: a b 07 00000010:zz\n 2: a b 07 00000001:00000002\n" ])
                    [ "node_udp_queues,tx,v4", 1.0; "node_udp_queues,rx,v4", 2.0 ]
                    "udp"

            testCase "a line without its end is not told"
            <| fun () -> Expect.equal (told "vmstat" [ [], "vmstat", "pgpgin 12\npgpgout 34" ]) [ "node_vmstat_pgpgin", 12.0 ] "vmstat"

            testCase "a series that a text repeats is told once"
            <| fun () ->
                Expect.equal
                    (told "sockstat" [ [], "sockstat", "RAW: inuse 1\nRAW: inuse 2\n" ])
                    [ "node_sockstat_RAW_inuse", 1.0 ]
                    "the first"

            testCase "the user's interfaces are told alone"
            <| fun () ->
                let figures = Collectors.figuresOf { facts with Interfaces = [| "eth0" |] } (collectorsOf "collectors")

                Expect.equal
                    [
                        for family in figures.Families do
                            if family[0].Family.Name = "node_network_mtu_bytes" then
                                for figure in family do
                                    figure.Labels[0]
                    ]
                    [ "eth0" ]
                    "devices"
        ]
