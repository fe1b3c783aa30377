/// `/proc/net/snmp`: counters of IPv4, ICMP, UDP and TCP, for each protocol a line of names and a line of numbers.
/// See RFC 4022 for what TCP counts, and net/ipv4/proc.c. Since kernel 2.6.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.Snmp

open System
open Agent.Core

/// Where the text comes from.
[<Literal>]
let Source = "/proc/net/snmp"

/// Segments of all TCP connections of the machine since boot.
[<NoComparison>]
type Tcp =
    {
        /// Sent, but for those that only repeat what was sent before (tcpOutSegs).
        Sent: uint64 voption
        /// Sent again, because no answer came in time (tcpRetransSegs).
        Retransmitted: uint64 voption
    }

let private protocol = "Tcp:"B
let private sentName = "OutSegs"B
let private retransmittedName = "RetransSegs"B

/// Reads the two lines of TCP. What the first does not name is not known.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Tcp, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable sent = ValueNone
    let mutable retransmitted = ValueNone
    let mutable failure = ValueNone
    let mutable isRead = false

    while failure.IsNone && not isRead && cursor.NextLine() do
        if cursor.Field().SequenceEqual(ReadOnlySpan protocol) then
            let mutable sentAt = -1
            let mutable retransmittedAt = -1

            while not (cursor.Field().IsEmpty) do
                if cursor.Last.SequenceEqual(ReadOnlySpan sentName) then
                    sentAt <- cursor.Fields
                elif cursor.Last.SequenceEqual(ReadOnlySpan retransmittedName) then
                    retransmittedAt <- cursor.Fields

            isRead <- cursor.NextLine()

            if not isRead then
                failure <- ValueSome(cursor.NoLine "Tcp")
            elif not (cursor.Field().SequenceEqual(ReadOnlySpan protocol)) then
                failure <- ValueSome(cursor.Bad("Tcp", "the numbers of TCP"))

            let last = max sentAt retransmittedAt

            while isRead && failure.IsNone && cursor.Fields < last do
                let place = cursor.Fields + 1

                if place <> sentAt && place <> retransmittedAt then
                    cursor.SkipField()
                else
                    let mutable segments = 0UL

                    if not (cursor.UInt64 &segments) then
                        failure <- ValueSome(cursor.Bad((if place = sentAt then "OutSegs" else "RetransSegs"), "a number of segments"))
                    elif place = sentAt then
                        sent <- ValueSome segments
                    else
                        retransmitted <- ValueSome segments

    match failure with
    | ValueSome error -> Error error
    | ValueNone when not isRead -> Error(cursor.NoLine "Tcp")
    | ValueNone ->
        Ok
            {
                Sent = sent
                Retransmitted = retransmitted
            }
