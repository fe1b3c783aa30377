/// `/proc/self/mountstats`: what the client of NFS counts for each of its mounts. Since kernel 2.6.17; process 1's is for root alone.
/// See nfsiostat(8) and net/sunrpc/stats.c. One paragraph for each mount, whose first line ends with `statvers=` where there are figures;
/// mounts of other kinds have that line only. Times are in milliseconds, each the sum over all operations.
[<RequireQualifiedAccess>]
module Agent.Core.Proc.MountStats

open System
open Agent.Core
open Agent.Core.Units

/// Where the text comes from.
[<Literal>]
let Source = "/proc/self/mountstats"

/// One mount of NFS since it was mounted.
[<NoComparison>]
type NfsMount =
    {
        /// `server:/export`.
        Device: string
        /// The directory, as the process that reads sees it.
        MountPoint: string
        /// `nfs` or `nfs4`.
        FsType: string
        /// Read from the server.
        Read: uint64<B>
        /// Written to the server.
        Written: uint64<B>
        /// Operations of all kinds.
        Operations: uint64
        /// From the begin of operations to their sending.
        QueueTime: uint64<ms>
        /// From requests on the wire to their answers.
        RoundTrip: uint64<ms>
        /// From the begin of operations to their end.
        Execution: uint64<ms>
        /// Requests that waited for a slot, summed up over every request sent.
        Backlog: uint64
    }

let private deviceName = "device"B
let private bytesName = "bytes:"B
let private transportName = "xprt:"B
let private operationsName = "per-op"B
let private version = "statvers="B
let private udp = "udp"B
let private local = "local"B

/// `device D mounted on M with fstype T statvers=V`, behind `device`; none for a mount without figures. The kernel escapes blanks in names.
let private readHead (cursor: byref<Cursor>) : NfsMount voption =
    let device = Mounts.unescape (cursor.Field())
    cursor.SkipField()
    cursor.SkipField()
    let mountPoint = Mounts.unescape (cursor.Field())
    cursor.SkipField()
    cursor.SkipField()
    let fsType = Text.toString (cursor.Field())

    if cursor.Field().StartsWith(ReadOnlySpan version) then
        ValueSome
            {
                Device = device
                MountPoint = mountPoint
                FsType = fsType
                Read = 0UL<B>
                Written = 0UL<B>
                Operations = 0UL
                QueueTime = 0UL<ms>
                RoundTrip = 0UL<ms>
                Execution = 0UL<ms>
                Backlog = 0UL
            }
    else
        ValueNone

/// `bytes:` normal read, normal written, direct read, direct written, server read, server written, and pages.
let private readBytes (cursor: byref<Cursor>) (mount: byref<NfsMount>) : bool =
    let mutable other = 0UL
    let mutable read = 0UL
    let mutable written = 0UL

    let good =
        cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &read
        && cursor.UInt64 &written

    if good then
        mount <-
            { mount with
                Read = LanguagePrimitives.UInt64WithMeasure read
                Written = LanguagePrimitives.UInt64WithMeasure written
            }

    good

/// `xprt: tcp port binds connects connecting idle sends answers bad queued backlog`; UDP has no connects, connecting and idle, and a local
/// transport no port. A mount has one for each connection.
let private readTransport (cursor: byref<Cursor>) (mount: byref<NfsMount>) : bool =
    let kind = cursor.Field()

    let skipped =
        if kind.SequenceEqual(ReadOnlySpan udp) then 6
        elif kind.SequenceEqual(ReadOnlySpan local) then 8
        else 9

    let mutable backlog = 0UL

    for _ in 1..skipped do
        cursor.SkipField()

    if cursor.UInt64 &backlog then
        mount <-
            { mount with
                Backlog = mount.Backlog + backlog
            }

        true
    else
        cursor.Last.IsEmpty

/// `READ:` operations, transmissions, time-outs, bytes sent, bytes received, queue, round trip, execution, and errors since 5.3.
let private readOperation (cursor: byref<Cursor>) (mount: byref<NfsMount>) : bool =
    let mutable operations = 0UL
    let mutable other = 0UL
    let mutable queue = 0UL
    let mutable roundTrip = 0UL
    let mutable execution = 0UL

    let good =
        cursor.UInt64 &operations
        && cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &other
        && cursor.UInt64 &queue
        && cursor.UInt64 &roundTrip
        && cursor.UInt64 &execution

    if good then
        mount <-
            { mount with
                Operations = addSaturating mount.Operations operations
                QueueTime = addSaturating mount.QueueTime (LanguagePrimitives.UInt64WithMeasure queue)
                RoundTrip = addSaturating mount.RoundTrip (LanguagePrimitives.UInt64WithMeasure roundTrip)
                Execution = addSaturating mount.Execution (LanguagePrimitives.UInt64WithMeasure execution)
            }

    good

/// Reads every mount that has figures, in the order of the text. A line that does not read as it should costs what it counts.
[<CompiledName "Parse">]
let parse (text: ReadOnlySpan<byte>) : Result<Parsed<NfsMount[]>, ParseError> =
    let mutable cursor = Cursor(Source, text)
    let mutable faults = LineFaults()
    let mounts = ResizeArray<NfsMount>()
    let mutable mount = Unchecked.defaultof<NfsMount>
    let mutable isMount = false
    let mutable inOperations = false

    while cursor.NextLine() do
        let first = cursor.Field()

        if first.SequenceEqual(ReadOnlySpan deviceName) then
            if isMount then
                mounts.Add mount

            inOperations <- false

            match readHead &cursor with
            | ValueSome head ->
                mount <- head
                isMount <- true
            | ValueNone -> isMount <- false
        elif isMount then
            if first.SequenceEqual(ReadOnlySpan operationsName) then
                inOperations <- true
            elif inOperations && first.EndsWith(":"B) then
                if not (readOperation &cursor &mount) then
                    faults.Add(cursor.Bad("operations", "eight whole numbers"))
            elif first.SequenceEqual(ReadOnlySpan bytesName) then
                if not (readBytes &cursor &mount) then
                    faults.Add(cursor.Bad("bytes", "six numbers of bytes"))
            elif first.SequenceEqual(ReadOnlySpan transportName) then
                if not (readTransport &cursor &mount) then
                    faults.Add(cursor.Bad("xprt", "the backlog of a transport"))

    if isMount then
        mounts.Add mount

    faults.AddTorn &cursor
    faults.AroundAny mounts
