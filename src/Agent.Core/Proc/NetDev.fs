/// `/proc/net/dev`: counters of every network interface.
/// See proc_pid_net(5). Two header lines, then `name:` and sixteen columns; the name may contain colons, and no blank
/// need stand between its colon and the first number.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.NetDev

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/net/dev"

/// The counters of one direction.
[<Struct; NoComparison>]
type Traffic =
    {
        /// Bytes.
        Bytes: uint64<B>
        /// Packets.
        Packets: uint64
        /// Packets with an error.
        Errors: uint64
        /// Packets dropped.
        Dropped: uint64
    }

/// The columns that a sample does not carry.
[<Struct; NoComparison>]
type InterfaceDetail =
    {
        /// Received: FIFO buffer errors.
        ReceiveFifo: uint64
        /// Received: framing errors.
        ReceiveFrame: uint64
        /// Received: compressed packets.
        ReceiveCompressed: uint64
        /// Received: multicast frames.
        ReceiveMulticast: uint64
        /// Sent: FIFO buffer errors.
        SendFifo: uint64
        /// Sent: collisions.
        SendCollisions: uint64
        /// Sent: carrier losses.
        SendCarrier: uint64
        /// Sent: compressed packets.
        SendCompressed: uint64
    }

/// The counters of one interface.
[<NoComparison>]
type InterfaceCounters =
    {
        /// The kernel's name, `eth0`.
        Name: string
        /// What came in.
        Received: Traffic
        /// What went out.
        Sent: Traffic
        /// The other columns; none where they were not kept.
        Detail: InterfaceDetail voption
    }

let private columns =
    [|
        "rx bytes"
        "rx packets"
        "rx errs"
        "rx drop"
        "rx fifo"
        "rx frame"
        "rx compressed"
        "rx multicast"
        "tx bytes"
        "tx packets"
        "tx errs"
        "tx drop"
        "tx fifo"
        "tx colls"
        "tx carrier"
        "tx compressed"
    |]

/// The last four of the eight columns of one direction.
[<Struct; NoComparison>]
type private Rest =
    {
        First: uint64
        Second: uint64
        Third: uint64
        Fourth: uint64
    }

/// Reads the eight columns of one direction.
let private readDirection (cursor: byref<Cursor>) (traffic: byref<Traffic>) (rest: byref<Rest>) : bool =
    let mutable bytes = 0UL
    let mutable packets = 0UL
    let mutable errors = 0UL
    let mutable dropped = 0UL
    let mutable first = 0UL
    let mutable second = 0UL
    let mutable third = 0UL
    let mutable fourth = 0UL

    let good =
        cursor.UInt64 &bytes
        && cursor.UInt64 &packets
        && cursor.UInt64 &errors
        && cursor.UInt64 &dropped
        && cursor.UInt64 &first
        && cursor.UInt64 &second
        && cursor.UInt64 &third
        && cursor.UInt64 &fourth

    if good then
        traffic <-
            {
                Bytes = LanguagePrimitives.UInt64WithMeasure bytes
                Packets = packets
                Errors = errors
                Dropped = dropped
            }

        rest <-
            {
                First = first
                Second = second
                Third = third
                Fourth = fourth
            }

    good

/// Reads every interface in the order of the text.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<InterfaceCounters[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)

    if not (cursor.NextLine() && cursor.NextLine()) then
        Error(cursor.NoLine "header")
    elif cursor.Line.IndexOf '|'B < 0 then
        Error(cursor.Bad("header", "two header lines with column names between bars"))
    else
        let mutable faults = LineFaults()
        let interfaces = ResizeArray<InterfaceCounters>()

        while cursor.NextLine() do
            // Only the name can contain a colon, so the last one ends it.
            let colon = cursor.Line.LastIndexOf ':'B
            let mutable received = Unchecked.defaultof<Traffic>
            let mutable sent = Unchecked.defaultof<Traffic>
            let mutable ofReceived = Unchecked.defaultof<Rest>
            let mutable ofSent = Unchecked.defaultof<Rest>

            if colon < 0 then
                faults.Add(cursor.Bad("interface", "a name and a colon"))
            else
                let name = Text.toString (Text.trim (cursor.Line.Slice(0, colon)))
                cursor.Skip(colon + 1)

                if name.Length = 0 then
                    faults.Add(cursor.Bad("interface", "a name before the colon"))
                elif
                    readDirection &cursor &received &ofReceived
                    && readDirection &cursor &sent &ofSent
                then
                    interfaces.Add
                        {
                            Name = name
                            Received = received
                            Sent = sent
                            Detail =
                                ValueSome
                                    {
                                        ReceiveFifo = ofReceived.First
                                        ReceiveFrame = ofReceived.Second
                                        ReceiveCompressed = ofReceived.Third
                                        ReceiveMulticast = ofReceived.Fourth
                                        SendFifo = ofSent.First
                                        SendCollisions = ofSent.Second
                                        SendCarrier = ofSent.Third
                                        SendCompressed = ofSent.Fourth
                                    }
                        }
                else
                    let name = Text.excerpt (ReadOnlySpan(System.Text.Encoding.UTF8.GetBytes name))
                    faults.Add(cursor.Bad($"{columns[cursor.Fields - 1]} of {name}", "a whole number"))

        faults.AddTorn &cursor
        faults.AroundAny interfaces
