/// Laws of what is read for metrics alone: the parsers of the collectors.
module Agent.PropertyTests.CollectorLaws

open System
open Agent.Core.Units
open Agent.Sender
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private facts: CollectorFacts =
    {
        PageSize = 4096UL<B>
        Interfaces = [||]
        BootTime = ValueSome 1_000_000.0
    }

/// A file of a collector, real texts of it and what they say: series, each its family and labels, and their values.
[<NoComparison; NoEquality>]
type private Form =
    {
        Collector: string
        File: string
        /// What the stars of its directory stand for.
        Names: string[]
        /// Each line says the same whatever stands around it.
        IsByLine: bool
        Texts: Gen<Rendered<(string * float)[]>>
    }

let private figuresOf (form: Form) (bytes: byte[]) : Figure[] =
    let reading: CollectorReading =
        {
            Collector = Collectors.all |> Array.find (fun one -> one.Name = form.Collector)
            Texts =
                [|
                    {
                        Names = form.Names
                        File = form.File
                        Text = ReadOnlyMemory bytes
                    }
                |]
            Took = TimeSpan.Zero
        }

    (Collectors.figuresOf facts [| reading |]).Families |> Seq.concat |> Seq.toArray

let private figures (form: Form) (bytes: byte[]) : (string * float)[] =
    figuresOf form bytes
    |> Array.map (fun figure -> String.concat " " (Seq.append [ figure.Family.Name ] figure.Labels), figure.Value)

let private form collector file names isByLine texts : Form =
    {
        Collector = collector
        File = file
        Names = names
        IsByLine = isByLine
        Texts = texts
    }

/// Some of these, each once, in any order.
let private someOf (all: 'a list) : Gen<'a[]> =
    gen {
        let! kept = Gen.arrayOfLength all.Length (Gen.elements [ true; true; false ])
        let! shuffled = Gen.shuffle (List.toArray all)
        return Array.zip shuffled kept |> Array.filter snd |> Array.map fst
    }

/// Each of these with a number.
let private numbered (all: 'a[]) : Gen<('a * uint64)[]> =
    Gen.arrayOfLength all.Length counter |> Gen.map (Array.zip all)

let private rendered (values: (string * float) seq) (lines: string seq) : Rendered<(string * float)[]> =
    {
        Value = Array.ofSeq values
        Lines = Array.ofSeq lines
    }

let private keyed collector file (prefix: string) (wanted: string list) (others: string list) : Form =
    form collector file [||] true
    <| gen {
        let! names =
            someOf (
                List.map (fun name -> name, true) wanted
                @ List.map (fun name -> name, false) others
            )

        let! values = numbered names

        return
            rendered
                [
                    for (name, isWanted), value in values do
                        if isWanted then
                            prefix + name, float value
                ]
                [ for (name, _), value in values -> $"{name} {value}" ]
    }

let private snmp: Form =
    form "netstat" "snmp" [||] false
    <| gen {
        let protocol (name: string) (wanted: string list) (others: string list) =
            gen {
                let! columns = someOf (List.map (fun one -> one, true) wanted @ List.map (fun one -> one, false) others)
                let! values = numbered columns

                return
                    rendered
                        [
                            for (column, isWanted), value in values do
                                if isWanted then
                                    $"node_netstat_{name}_{column}", float value
                        ]
                        [
                            String.concat " " (Seq.append [ name + ":" ] (Seq.map (fst >> fst) values))
                            String.concat " " (Seq.append [ name + ":" ] (Seq.map (snd >> string) values))
                        ]
            }

        let! tcp = protocol "Tcp" [ "InSegs"; "OutSegs"; "CurrEstab"; "InErrs" ] [ "RtoMin"; "MaxConn" ]
        let! udp = protocol "Udp" [ "InErrors"; "NoPorts" ] [ "MemErrors" ]
        let! ip = protocol "Ip" [ "Forwarding" ] [ "DefaultTTL"; "InReceives" ]

        return rendered (Seq.collect (fun text -> text.Value) [ ip; tcp; udp ]) (Seq.collect (fun text -> text.Lines) [ ip; tcp; udp ])
    }

let private sockstat: Form =
    form "sockstat" "sockstat" [||] true
    <| gen {
        let! protocols = someOf [ "TCP"; "UDP"; "RAW"; "sockets" ]

        let! lines =
            protocols
            |> Array.map (fun protocol ->
                someOf [ "inuse"; "orphan"; "used"; "mem" ]
                |> Gen.bind numbered
                |> Gen.map (fun states -> protocol, states))
            |> Gen.collectToArray id

        return
            rendered
                [
                    for protocol, states in lines do
                        for state, value in states do
                            $"node_sockstat_{protocol}_{state}", float value

                            if state = "mem" then
                                $"node_sockstat_{protocol}_mem_bytes", float value * 4096.0
                ]
                [
                    for protocol, states in lines do
                        protocol
                        + ":"
                        + String.concat "" [ for state, value in states -> $" {state} {value}" ]
                ]
    }

let private softnet: Form =
    form "softnet" "softnet_stat" [||] true
    <| gen {
        let! cpus = someOf [ 0..7 ]
        let! values = Gen.arrayOfLength cpus.Length (Gen.three (Gen.choose64 (0L, 0xFFFFFFFFL)))
        let lines = Array.zip cpus values

        return
            rendered
                [
                    for cpu, (processed, dropped, squeezed) in lines do
                        $"node_softnet_processed_total {cpu}", float processed
                        $"node_softnet_dropped_total {cpu}", float dropped
                        $"node_softnet_times_squeezed_total {cpu}", float squeezed
                ]
                [
                    for cpu, (processed, dropped, squeezed) in lines do
                        $"%08x{processed} %08x{dropped} %08x{squeezed} 0 0 0 0 0 0 0 0 0 %08x{cpu}"
                ]
    }

let private arp: Form =
    form "arp" "arp" [||] false
    <| gen {
        let! devices = upTo 12 (Gen.elements [ "eth0"; "ib0"; "br-1" ])

        return
            rendered
                (devices
                 |> Seq.countBy id
                 |> Seq.map (fun (device, count) -> $"node_arp_entries {device}", float count))
                (Seq.append [ "IP address" ] [ for device in devices -> $"192.0.2.1 0x1 0x2 02:00:00:00:00:01 * {device}" ])
    }

let private udp: Form =
    form "udp_queues" "udp6" [||] false
    <| gen {
        let! queues = upTo 8 (Gen.two (Gen.choose64 (0L, 0xFFFFFFFFL)))

        return
            rendered
                [
                    "node_udp_queues tx v6", queues |> Array.sumBy (fst >> float)
                    "node_udp_queues rx v6", queues |> Array.sumBy (snd >> float)
                ]
                (Seq.append
                    [ "sl" ]
                    [
                        for sending, receiving in queues -> $" 1: a:1 b:2 07 %08X{sending}:%08X{receiving} 00:0 0"
                    ])
    }

let private conntrack: Form =
    form "conntrack" "nf_conntrack" [||] false
    <| gen {
        let! columns =
            someOf
                [
                    "found", true
                    "drop", true
                    "insert_failed", true
                    "new", false
                    "delete", false
                ]

        let! cpus = Gen.choose (1, 4)
        let! rows = Gen.arrayOfLength cpus (Gen.arrayOfLength columns.Length (Gen.choose64 (0L, 0xFFFFFFFFL)))

        return
            rendered
                [
                    for i in 0 .. columns.Length - 1 do
                        if snd columns[i] then
                            $"node_nf_conntrack_stat_{fst columns[i]}", rows |> Array.sumBy (fun row -> float row[i])
                ]
                [
                    String.concat " " (Seq.map fst columns)
                    for row in rows do
                        row |> Seq.map (sprintf "%08x") |> String.concat " "
                ]
    }

let private schedstat: Form =
    form "schedstat" "schedstat" [||] true
    <| gen {
        let! cpus = someOf [ 0..3 ]
        let! values = Gen.arrayOfLength cpus.Length (Gen.three counter)

        return
            rendered
                [
                    for cpu, (running, waiting, slices) in Array.zip cpus values do
                        $"node_schedstat_running_seconds_total {cpu}", float running / 1e9
                        $"node_schedstat_waiting_seconds_total {cpu}", float waiting / 1e9
                        $"node_schedstat_timeslices_total {cpu}", float slices
                ]
                [
                    "version 15"
                    for cpu, (running, waiting, slices) in Array.zip cpus values do
                        $"cpu{cpu} 1 2 3 4 5 6 {running} {waiting} {slices}"
                        "domain0 03 1 2 3"
                ]
    }

let private mtu: Form =
    form "netclass" "mtu" [| "eth0" |] false
    <| Gen.map
        (fun (value: uint64) ->
            rendered
                [
                    "node_network_mtu_bytes eth0", float value
                    "node_network_up eth0", 0.0
                    "node_network_info eth0     ", 1.0
                ]
                [ string value ])
        counter

let private mdstat: Form =
    form "mdadm" "mdstat" [||] false
    <| gen {
        let! arrays = someOf [ "md0"; "md1"; "md127" ]

        let one (name: string) =
            gen {
                let! disks = Gen.choose (1, 6)
                let! failed = Gen.choose (0, disks)
                let! spare = Gen.choose (0, 2)
                let! blocks = Gen.choose64 (1L, 9_999_999_999L)
                let! work = Gen.elements [ "active", ""; "recovering", "recovery"; "resync", "resync"; "check", "check" ]
                let! done' = Gen.choose64 (0L, blocks)

                let members =
                    [
                        for i in 1..disks do
                            $" sda{i}[{i}]" + (if i <= failed then "(F)" else "")
                        for i in 1..spare do
                            $" sdb{i}[{i}](S)"
                    ]
                    |> String.concat ""

                return
                    rendered
                        [
                            $"node_md_disks {name} active", float (disks - failed)
                            $"node_md_disks {name} failed", float failed
                            $"node_md_disks {name} spare", float spare
                            $"node_md_disks_required {name}", float disks
                            $"node_md_blocks {name}", float blocks
                            $"node_md_blocks_synced {name}", float (if snd work = "" then blocks else done')
                            for state in [ "active"; "inactive"; "recovering"; "resync"; "check" ] do
                                $"node_md_state {name} {state}", (if state = fst work then 1.0 else 0.0)
                        ]
                        [
                            $"{name} : active raid6{members}"
                            $"      {blocks} blocks super 1.2 [{disks}/{disks - failed}] [UU]"
                            if snd work <> "" then
                                $"      [=>..]  {snd work} =  8.5%% ({done'}/{blocks}) finish=17.0min speed=259783K/sec"
                            ""
                        ]
            }

        let! texts = arrays |> Array.map one |> Gen.collectToArray id

        return
            rendered
                (texts |> Seq.collect (fun text -> text.Value))
                (Seq.concat
                    [
                        Seq.singleton "Personalities : [raid6]"
                        texts |> Seq.collect (fun text -> text.Lines)
                        Seq.singleton "unused devices: <none>"
                    ])
    }

let private nfs: Form =
    form "nfs" "rpc/nfs" [||] true
    <| gen {
        let! packets, rpc, calls = Gen.zip3 (Gen.three counter) (Gen.three counter) (Gen.three counter)
        let (udp, tcp, connections), (calls1, again, refreshed), (nulls, reads, writes) = packets, rpc, calls

        return
            rendered
                [
                    "node_nfs_packets_total udp", float udp
                    "node_nfs_packets_total tcp", float tcp
                    "node_nfs_connections_total", float connections
                    "node_nfs_rpcs_total", float calls1
                    "node_nfs_rpc_retransmissions_total", float again
                    "node_nfs_rpc_authentication_refreshes_total", float refreshed
                    "node_nfs_requests_total 4 Null", float nulls
                    "node_nfs_requests_total 4 Read", float reads
                    "node_nfs_requests_total 4 Write", float writes
                ]
                [
                    $"net 7 {udp} {tcp} {connections}"
                    $"rpc {calls1} {again} {refreshed}"
                    $"proc4 3 {nulls} {reads} {writes}"
                ]
    }

let private fileNr: Form =
    form "filefd" "file-nr" [||] false
    <| Gen.map
        (fun (allocated: uint64, most: uint64) ->
            rendered [ "node_filefd_allocated", float allocated; "node_filefd_maximum", float most ] [ $"{allocated}\t0\t{most}" ])
        (Gen.two counter)

let private escaped (text: string) =
    text.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n")

let private textfile: Form =
    form "textfile" "a.prom" [| "/a.prom"; "1" |] false
    <| gen {
        let! names = someOf [ "a"; "b_total"; "c:d"; "_e" ]

        let! samples =
            names
            |> Array.map (fun name ->
                Gen.arrayOfLength 2 (Gen.oneof [ phrase; Gen.elements [ "\\"; "\""; "a\nb"; "}"; "a=\"b\"," ] ])
                |> Gen.bind (Array.distinct >> numbered)
                |> Gen.map (fun labels -> name, labels))
            |> Gen.collectToArray id

        return
            rendered
                [
                    for name, labels in samples do
                        for label, value in labels do
                            $"{name} {label}", float value

                    "node_textfile_mtime_seconds /a.prom", 1.0
                    "node_textfile_scrape_error", 0.0
                ]
                [
                    for name, labels in samples do
                        $"# TYPE {name} gauge"

                        for label, value in labels do
                            $"{name}{{l=\"{escaped label}\"}} {value}"
                ]
    }

let private lustre: Form =
    form
        "lustre"
        "stats"
        [| "scratch-ffff" |]
        true
        (someOf [ "read_bytes"; "write_bytes"; "open"; "getattr"; "read" ]
         |> Gen.bind numbered
         |> Gen.map (fun lines ->
             rendered
                 [
                     for name, number in lines do
                         match name with
                         | "read" -> ()
                         | "read_bytes"
                         | "write_bytes" ->
                             let kind = name.Substring(0, name.IndexOf '_')
                             $"lustre_{kind}_samples_total client scratch-ffff", float number
                             $"lustre_{kind}_bytes_total client scratch-ffff", float (number / 2UL)
                         | operation -> $"lustre_stats_total client {operation} scratch-ffff", float number
                 ]
                 [
                     for name, number in lines do
                         if name.EndsWith("_bytes", StringComparison.Ordinal) then
                             $"{name}   {number} samples [bytes] 1 {number} {number / 2UL}"
                         else
                             $"{name}   {number} samples [regs]"
                 ]))

/// A mount of NFS with some of its lines.
let private mountStatistics: Form =
    let numbers count =
        Gen.arrayOfLength count (Gen.choose (0, Int32.MaxValue))

    form
        "mountstats"
        "self/mountstats"
        [||]
        false
        (gen {
            let! age = numbers 1
            let! bytes = numbers 8
            let! sent = numbers 13
            // Times are milliseconds.
            let! operation = numbers 5
            let words (values: int[]) = String.Join(' ', values)
            let series name = $"node_mountstats_nfs_{name} s:/x tcp "

            return
                rendered
                    [
                        series "age_seconds_total", float age[0]
                        for at, name in
                            [
                                0, "read"
                                1, "write"
                                2, "direct_read"
                                3, "direct_write"
                                4, "total_read"
                                5, "total_write"
                            ] do
                            series $"{name}_bytes_total", float bytes[at]
                        series "read_pages_total", float bytes[6]
                        series "write_pages_total", float bytes[7]
                        for at, name in
                            [
                                1, "bind_total"
                                2, "connect_total"
                                4, "idle_time_seconds"
                                5, "sends_total"
                                6, "receives_total"
                                7, "bad_transaction_ids_total"
                                9, "backlog_queue_total"
                                10, "maximum_rpc_slots"
                                11, "sending_queue_total"
                                12, "pending_queue_total"
                            ] do
                            series $"transport_{name}", float sent[at]
                        for at, name in
                            [
                                0, "requests"
                                1, "transmissions"
                                2, "major_timeouts"
                                3, "sent_bytes"
                                4, "received_bytes"
                            ] do
                            series $"operations_{name}_total" + " READ", float operation[at]
                        for name in [ "queue"; "response"; "request" ] do
                            series $"operations_{name}_time_seconds_total" + " READ", 0.0
                    ]
                    [
                        "device proc mounted on /proc with fstype proc"
                        "device s:/x mounted on /x with fstype nfs4 statvers=1.1"
                        $"\tage:\t{age[0]}"
                        $"\tbytes:\t{words bytes}"
                        $"\txprt:\ttcp {words sent}"
                        "\tper-op statistics"
                        $"\t        READ: {words operation} 0 0 0 0"
                    ]
        })

/// The collectors, each with all of its files, which say the same.
let private anyFiles: Gen<CollectorReading> =
    gen {
        let! collector = Gen.elements Collectors.all
        let! bytes = anyBytes
        let! name = Gen.elements [ "eth0"; "1"; "mc0"; "csrow0"; "" ]

        return
            {
                Collector = collector
                Texts =
                    [|
                        for set in collector.Sets do
                            for file in
                                (if set.Root.IsTextfile then
                                     [| "a.prom" |]
                                 elif set.Root.IsSensors then
                                     [|
                                         "device"
                                         "name"
                                         "temp1_input"
                                         "temp1_fault"
                                         "temp2_input"
                                         "fan1_label"
                                         "pwm1"
                                         "energy1_input"
                                     |]
                                 else
                                     set.Files) do
                                {
                                    Names =
                                        if set.Root.IsTextfile then
                                            [| "/a.prom"; "1" |]
                                        elif set.Root.IsSensors then
                                            [| name |]
                                        else
                                            Array.create (set.Directory |> Seq.filter ((=) '*') |> Seq.length) name
                                    File = file
                                    Text = ReadOnlyMemory bytes.Content
                                }
                    |]
                Took = TimeSpan.Zero
            }
    }

let private forms =
    [
        snmp
        keyed "netstat" "snmp6" "" [] [ "Ip6InReceives" ]
        keyed "vmstat" "vmstat" "node_vmstat_" [ "pgpgin"; "pswpout"; "pgmajfault"; "oom_kill" ] [ "nr_dirty"; "pgalloc_dma" ]
        sockstat
        softnet
        arp
        udp
        conntrack
        schedstat
        mtu
        mdstat
        nfs
        mountStatistics
        lustre
        fileNr
        textfile
    ]

/// Sums and what is in the making are more than the parts of a text say.
let private isAccumulated (series: string) =
    series.StartsWith("node_arp", StringComparison.Ordinal)
    || series.StartsWith("node_udp", StringComparison.Ordinal)
    || series.StartsWith("node_nf", StringComparison.Ordinal)
    || series.StartsWith("node_md", StringComparison.Ordinal)
    || series.StartsWith("node_textfile", StringComparison.Ordinal)
    // What the connection is called comes after most of what it carried.
    || series.StartsWith("node_mountstats", StringComparison.Ordinal)

let private lawsOf (form: Form) : Test =
    let isSound (bytes: Bytes) =
        let told = figuresOf form bytes.Content

        told |> Array.forall (fun figure -> Double.IsFinite figure.Value)
        && same
            (told
             |> Array.distinctBy (fun figure -> figure.Family.Name, figure.Family.Labels, figure.Labels))
                .Length
            told.Length

    testList
        $"{form.Collector} {form.File}"
        [
            law "a text says what it was made from" form.Texts (fun text ->
                same (Array.sort (figures form (bytesOf text.Lines))) (Array.sort text.Value))
            lawShrinking "any bytes at all are numbers, each series once, or nothing" shrinkBytes anyBytes isSound
            lawShrinking "and so is a real text with some damage" shrinkBytes (damaged form.Texts) isSound
            law "no cut text says what the whole text does not say" (Gen.zip form.Texts (Gen.choose (0, 10_000))) (fun (text, cut) ->
                let bytes = bytesOf text.Lines
                let whole = Map.ofArray text.Value

                figures form (Array.truncate (cut % (bytes.Length + 1)) bytes)
                |> Array.forall (fun (series, value) ->
                    match Map.tryFind series whole with
                    | Some all -> value = all || isAccumulated series
                    | None -> isAccumulated series))
            if form.IsByLine then
                law "a line that is garbled costs itself" (Gen.zip form.Texts (Gen.choose (0, 1000))) (fun (text, place) ->
                    text.Lines.Length = 0
                    || (let place = place % text.Lines.Length
                        let without = figures form (bytesOf (Array.removeAt place text.Lines))
                        same (Array.sort (figures form (bytesOf (Array.updateAt place "? ?" text.Lines)))) (Array.sort without)))
        ]

let tests =
    testList
        "Collectors"
        [
            yield! List.map lawsOf forms

            law "whatever files hold, their families have as many values of labels as names, and each series once" anyFiles (fun reading ->
                let figures = (Collectors.figuresOf facts [| reading |]).Families |> Seq.concat |> Seq.toArray

                figures
                |> Array.forall (fun figure -> figure.Labels.Length = figure.Family.Labels.Length)
                && same
                    (figures
                     |> Array.distinctBy (fun figure -> figure.Family.Name, figure.Family.Labels, figure.Labels))
                        .Length
                    figures.Length)
        ]
