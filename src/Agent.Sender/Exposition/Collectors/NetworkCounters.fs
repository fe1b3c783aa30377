/// Counters of the network's protocols and sockets, for all interfaces together.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NetworkCounters

open System
open System.Collections.Generic
open System.Globalization
open System.Text
open Agent.Core
open Agent.Outbound

// ---- Protocols: /proc/net/netstat, /proc/net/snmp, /proc/net/snmp6 -------------------------------------------------------

/// A protocol, and the families of those of its counters that node_exporter tells unless it is told otherwise.
let private protocols =
    [|
        "Icmp", "InErrors InMsgs OutMsgs"
        "Icmp6", "InErrors InMsgs OutMsgs"
        "Ip", "Forwarding"
        "Ip6", "InOctets OutOctets"
        "IpExt", "InOctets OutOctets"
        "Tcp", "ActiveOpens CurrEstab InErrs InSegs OutRsts OutSegs PassiveOpens RetransSegs"
        "TcpExt", "ListenDrops ListenOverflows SyncookiesFailed SyncookiesRecv SyncookiesSent TCPSynRetrans TCPTimeouts"
        "Udp", "InDatagrams InErrors NoPorts OutDatagrams RcvbufErrors SndbufErrors"
        "Udp6", "InDatagrams InErrors NoPorts OutDatagrams RcvbufErrors SndbufErrors"
        "UdpLite", "InErrors"
        "UdpLite6", "InErrors"
    |]

    |> Array.map (fun (protocol, names) ->
        let make name =
            Family.untyped $"node_netstat_{protocol}_{name}" $"Statistic {protocol}{name}."

        struct (Encoding.ASCII.GetBytes protocol, Numbers.NamedFamilies(names.Split ' ', make)))

/// A line of names and a line of numbers for each protocol. A line whose fellow is missing is passed over. There are some 300 names and 40 that
/// are told, so none becomes a text.
let private ofPairs (text: ReadOnlySpan<byte>) (figures: Figures) =
    let mutable cursor = Cursor("", text)
    let mutable names = cursor

    while cursor.NextLine() do
        let mutable values = cursor
        let protocol = values.Field()
        let mutable before = names

        if not protocol.IsEmpty && before.Field().SequenceEqual protocol then
            for struct (name, counters) in protocols do
                if protocol.TrimEnd(':'B).SequenceEqual(ReadOnlySpan name) then
                    let mutable fields = before
                    let mutable numbers = values
                    let mutable next = 0

                    while not (fields.Field().IsEmpty) do
                        let number = numbers.Field()
                        let at = counters.Find(fields.Last, next)
                        let mutable value = 0.0

                        if at >= 0 then
                            next <- at + 1

                            if Text.tryDecimal (number, &value) then
                                figures.Add(counters.At at, value)

        names <- cursor

/// A name, with the protocol's before it, and a number on each line.
let private ofLines (text: ReadOnlySpan<byte>) (figures: Figures) =
    let mutable cursor = Cursor("", text)

    while cursor.NextLine() do
        let field = cursor.Field()

        for struct (name, counters) in protocols do
            if field.StartsWith(ReadOnlySpan name) then
                let at = counters.Find(field.Slice name.Length, 0)
                let mutable line = cursor
                let mutable value = 0.0

                if at >= 0 && line.Decimal &value then
                    figures.Add(counters.At at, value)

let private protocolCounters _ (texts: FileText[]) (figures: Figures) =
    ofPairs (Numbers.textOf "netstat" texts).Span figures
    ofPairs (Numbers.textOf "snmp" texts).Span figures
    ofLines (Numbers.textOf "snmp6" texts).Span figures

// ---- Sockets: /proc/net/sockstat, /proc/net/sockstat6 --------------------------------------------------------------------

/// The families of a protocol's states.
let private statesOf (protocol: string) =
    let make state =
        let help =
            if protocol = "sockets" then
                "Number of IPv4 sockets in use."
            else
                $"Number of {protocol} sockets in state {state}."

        Family.gauge $"node_sockstat_{protocol}_{state}" help

    Numbers.NamedFamilies([| "inuse"; "orphan"; "tw"; "alloc"; "mem"; "mem_bytes"; "used"; "memory" |], make)

/// The protocols that kernels have.
let private socketStates =
    "sockets TCP UDP UDPLITE RAW FRAG TCP6 UDP6 UDPLITE6 RAW6 FRAG6".Split ' '
    |> Array.map (fun protocol -> struct (Encoding.ASCII.GetBytes protocol, statesOf protocol))

let private statesOfProtocol (protocol: ReadOnlySpan<byte>) =
    let mutable found = ValueNone

    for struct (name, states) in socketStates do
        if protocol.SequenceEqual(ReadOnlySpan name) then
            found <- ValueSome states

    match found with
    | ValueSome states -> states
    | ValueNone -> statesOf (Text.toString protocol)

let private sockets (facts: CollectorFacts) (texts: FileText[]) (figures: Figures) =
    for text in texts do
        let mutable cursor = Cursor("", text.Text.Span)

        while cursor.NextLine() do
            let protocol = cursor.Field()

            if
                protocol.EndsWith ':'B
                && Numbers.isName (protocol.Slice(0, protocol.Length - 1))
            then
                let states = statesOfProtocol (protocol.Slice(0, protocol.Length - 1))

                while not (cursor.Field().IsEmpty) do
                    let state = cursor.Last
                    let mutable value = 0.0

                    if cursor.Decimal &value && Numbers.isName state then
                        figures.Add(states.Of state, value)

                        if state.SequenceEqual("mem"B.AsSpan()) then
                            figures.Add(states.Of("mem_bytes"B.AsSpan()), value * float facts.PageSize)

// ---- Packets by CPU: /proc/net/softnet_stat ------------------------------------------------------------------------------

let private softnetFamilies =
    let family name help =
        Family.labelled [| "cpu" |] MetricKind.Counter $"node_softnet_{name}_total" help

    [|
        family "processed" "Number of processed packets"
        family "dropped" "Number of dropped packets"
        family "times_squeezed" "Number of times processing packets ran out of quota"
    |]

/// The column that says which CPU a line is about, counted from 1; since kernel 5.10.
[<Literal>]
let private CpuColumn = 13

let private packets _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "softnet_stat" texts).Span)
    let mutable line = 0UL

    while cursor.NextLine() do
        let values = Array.zeroCreate<uint64> softnetFamilies.Length
        let mutable cpu = line
        let mutable isGood = true

        while isGood && not (cursor.Field().IsEmpty) do
            let mutable value = 0UL
            isGood <- Numbers.tryHex (cursor.Last, &value)

            if cursor.Fields <= values.Length then
                values[cursor.Fields - 1] <- value
            elif cursor.Fields = CpuColumn then
                cpu <- value

        if isGood && cursor.Fields > values.Length then
            for i in 0 .. values.Length - 1 do
                figures.Add(softnetFamilies[i], [| cpu.ToString CultureInfo.InvariantCulture |], float values[i])

        line <- line + 1UL

// ---- Neighbours: /proc/net/arp ---------------------------------------------------------------------------------------------

let private arpEntries =
    Family.labelled [| "device" |] MetricKind.Gauge "node_arp_entries" "ARP entries by device"

let private neighbours _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "arp" texts).Span)
    let devices = List<string>()

    // The first line has the names of the columns.
    if cursor.NextLine() then
        while cursor.NextLine() do
            // An address, its kind, flags, the hardware's address and a mask.
            for _ in 1..5 do
                cursor.SkipField()

            if not (cursor.Field().IsEmpty) then
                devices.Add(Text.toString cursor.Last)

    devices.Sort StringComparer.Ordinal
    let mutable from = 0

    while from < devices.Count do
        let device = devices[from]
        let past = devices.LastIndexOf device + 1
        figures.Add(arpEntries, [| device |], float (past - from))
        from <- past

// ---- Waiting datagrams: /proc/net/udp, /proc/net/udp6 ----------------------------------------------------------------------

let private udpQueues =
    Family.labelled
        [| "queue"; "ip" |]
        MetricKind.Gauge
        "node_udp_queues"
        "Number of allocated memory in the kernel for UDP datagrams in bytes."

let private datagrams _ (texts: FileText[]) (figures: Figures) =
    for text in texts do
        let mutable cursor = Cursor("", text.Text.Span)
        let mutable sending = 0UL
        let mutable receiving = 0UL

        while cursor.NextLine() do
            // A slot, two addresses, a state, and the two queues with a colon between them.
            for _ in 1..4 do
                cursor.SkipField()

            let queues = cursor.Field()
            let mutable sent = 0UL
            let mutable received = 0UL

            match queues.IndexOf ':'B with
            | colon when
                colon > 0
                && Numbers.tryHex (queues.Slice(0, colon), &sent)
                && Numbers.tryHex (queues.Slice(colon + 1), &received)
                ->
                sending <- sending + sent
                receiving <- receiving + received
            | _ -> ()

        let version = if text.File = "udp" then "v4" else "v6"
        figures.Add(udpQueues, [| "tx"; version |], float sending)
        figures.Add(udpQueues, [| "rx"; version |], float receiving)

// ---- Connection tracking: /proc/net/stat/nf_conntrack ----------------------------------------------------------------------

let private trackedFiles =
    [|
        Numbers.file
            "nf_conntrack_count"
            (Family.gauge "node_nf_conntrack_entries" "Number of currently allocated flow entries for connection tracking.")
        Numbers.file "nf_conntrack_max" (Family.gauge "node_nf_conntrack_entries_limit" "Maximum size of connection tracking table.")
    |]

/// The columns that are told, by their names.
let private trackedColumns =
    let column name help =
        struct (name, Family.gauge ("node_nf_conntrack_stat_" + name) help)

    [|
        column "found" "Number of searched entries which were successful."
        column "invalid" "Number of packets seen which can not be tracked."
        column "ignore" "Number of packets seen which are already connected to a conntrack entry."
        column "insert" "Number of entries inserted into the list."
        column "insert_failed" "Number of entries for which list insertion was attempted but failed."
        column "drop" "Number of packets dropped due to conntrack failure."
        column "early_drop" "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached."
        column "search_restart" "Number of conntrack table lookups which had to be restarted due to hashtable resizes."
    |]

/// A line of names, and for each CPU a line of hexadecimal numbers; what is told is their sums.
let private tracked _ (texts: FileText[]) (figures: Figures) =
    Numbers.ofFiles trackedFiles (fun _ -> [||]) texts figures
    let mutable cursor = Cursor("", (Numbers.textOf "nf_conntrack" texts).Span)

    if cursor.NextLine() then
        let header = cursor
        let sums = Array.zeroCreate<uint64> trackedColumns.Length
        let seen = Array.zeroCreate<bool> trackedColumns.Length

        while cursor.NextLine() do
            let mutable names = header

            while not (names.Field().IsEmpty) do
                let mutable value = 0UL

                if Numbers.tryHex (cursor.Field(), &value) then
                    let name = Text.toString names.Last

                    for i in 0 .. sums.Length - 1 do
                        let struct (wanted, _) = trackedColumns[i]

                        if wanted = name then
                            sums[i] <- sums[i] + value
                            seen[i] <- true

        for i in 0 .. sums.Length - 1 do
            if seen[i] then
                let struct (_, family) = trackedColumns[i]
                figures.Add(family, float sums[i])

// ---- All of them -----------------------------------------------------------------------------------------------------------

/// The collectors.
let all: Collector[] =
    [|
        Collector("netstat", true, [| FileSet.Net("", [| "netstat"; "snmp"; "snmp6" |]) |], protocolCounters)
        Collector("sockstat", true, [| FileSet.Net("", [| "sockstat"; "sockstat6" |]) |], sockets)
        Collector("softnet", true, [| FileSet.Net("", [| "softnet_stat" |]) |], packets)
        Collector("arp", true, [| FileSet.Net("", [| "arp" |]) |], neighbours)
        Collector("udp_queues", true, [| FileSet.Net("", [| "udp"; "udp6" |]) |], datagrams)
        Collector(
            "conntrack",
            true,
            [|
                FileSet.Proc("sys/net/netfilter", [| "nf_conntrack_count"; "nf_conntrack_max" |])
                FileSet.Net("stat", [| "nf_conntrack" |])
            |],
            tracked
        )
    |]
