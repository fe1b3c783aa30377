/// What the clients of NFS and Lustre count for each of their mounts.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NetworkMounts

open System
open System.Collections.Generic
open Agent.Core
open Agent.Outbound
open Agent.Core.Proc

let private kindOf (name: string) =
    if name.EndsWith("_total", StringComparison.Ordinal) then
        MetricKind.Counter
    else
        MetricKind.Gauge

// ---- NFS: /proc/self/mountstats. See nfsiostat(8), net/sunrpc/stats.c and fs/nfs/super.c -------------------------------------------

/// A number of a line, counted from 0.
[<NoComparison; NoEquality>]
type private Column =
    {
        At: int
        Family: Family
        /// The unit of the file in that of the family.
        Scale: float
    }

let private ofMount = [| "export"; "protocol"; "mountaddr" |]
let private ofOperation = Array.append ofMount [| "operation" |]

let private column labels at name help =
    {
        At = at
        Family = Family.labelled labels (kindOf name) ("node_mountstats_nfs_" + name) help
        Scale = 1.0
    }

let private age =
    [|
        column ofMount 0 "age_seconds_total" "The age of the NFS mount in seconds."
    |]

let private bytes =
    [|
        column ofMount 0 "read_bytes_total" "Number of bytes read using the read() syscall."
        column ofMount 1 "write_bytes_total" "Number of bytes written using the write() syscall."
        column ofMount 2 "direct_read_bytes_total" "Number of bytes read using the read() syscall in O_DIRECT mode."
        column ofMount 3 "direct_write_bytes_total" "Number of bytes written using the write() syscall in O_DIRECT mode."
        column ofMount 4 "total_read_bytes_total" "Number of bytes read from the NFS server, in total."
        column ofMount 5 "total_write_bytes_total" "Number of bytes written to the NFS server, in total."
        column ofMount 6 "read_pages_total" "Number of pages read directly via mmap()'d files."
        column ofMount 7 "write_pages_total" "Number of pages written directly via mmap()'d files."
    |]

/// The columns of a line by their places; those without a name are passed over.
let private byPlace labels (name: string -> string) (rows: (string * string)[]) : Column[] =
    rows
    |> Array.mapi (fun at (column', help) ->
        if column' = "" then
            [||]
        else
            [| column labels at (name column') help |])
    |> Array.concat

let private events =
    [|
        "inode_revalidate", "Number of times cached inode attributes are re-validated from the server."
        "dnode_revalidate", "Number of times cached dentry nodes are re-validated from the server."
        "data_invalidate", "Number of times an inode cache is cleared."
        "attribute_invalidate", "Number of times cached inode attributes are invalidated."
        "vfs_open", "Number of times cached inode attributes are invalidated."
        "vfs_lookup", "Number of times a directory lookup has occurred."
        "vfs_access", "Number of times permissions have been checked."
        "vfs_update_page", "Number of updates (and potential writes) to pages."
        "vfs_read_page", "Number of pages read directly via mmap()'d files."
        "vfs_read_pages", "Number of times a group of pages have been read."
        "vfs_write_page", "Number of pages written directly via mmap()'d files."
        "vfs_write_pages", "Number of times a group of pages have been written."
        "vfs_getdents", "Number of times directory entries have been read with getdents()."
        "vfs_setattr", "Number of times directory entries have been read with getdents()."
        "vfs_flush", "Number of pending writes that have been forcefully flushed to the server."
        "vfs_fsync", "Number of times fsync() has been called on directories and files."
        "vfs_lock", "Number of times locking has been attempted on a file."
        "vfs_file_release", "Number of times files have been closed and released."
        "", ""
        "truncation", "Number of times files have been truncated."
        "write_extension", "Number of times a file has been grown due to writes beyond its existing end."
        "silly_rename", "Number of times a file was removed while still open by another process."
        "short_read", "Number of times the NFS server gave less data than expected while reading."
        "short_write", "Number of times the NFS server wrote less data than expected while writing."
        "jukebox_delay", "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage."
        "pnfs_read", "Number of NFS v4.1+ pNFS reads."
        "pnfs_write", "Number of NFS v4.1+ pNFS writes."
    |]
    |> byPlace ofMount (fun name -> "event_" + name + "_total")

/// The place of the time that has passed since a connection was last used.
[<Literal>]
let private Idle = 4

/// The place of the most requests that were under way.
[<Literal>]
let private Slots = 10

/// As TCP has them: the port comes first.
let private transport =
    [|
        "", ""
        "bind_total", "Number of times the client has had to establish a connection from scratch to the NFS server."
        "connect_total", "Number of times the client has made a TCP connection to the NFS server."
        "", ""
        "idle_time_seconds", "Duration since the NFS mount last saw any RPC traffic, in seconds."
        "sends_total", "Number of RPC requests for this mount sent to the NFS server."
        "receives_total", "Number of RPC responses for this mount received from the NFS server."
        "bad_transaction_ids_total", "Number of times the NFS server sent a response with a transaction ID unknown to this client."
        "", ""
        "backlog_queue_total", "Total number of items added to the RPC backlog queue."
        "maximum_rpc_slots", "Maximum number of simultaneously active RPC requests ever used."
        "sending_queue_total", "Total number of items added to the RPC transmission sending queue."
        "pending_queue_total", "Total number of items added to the RPC transmission pending queue."
    |]
    |> byPlace ofMount (fun name -> "transport_" + name)

let private operations =
    [|
        "requests", "Number of requests performed for a given operation."
        "transmissions", "Number of times an actual RPC request has been transmitted for a given operation."
        "major_timeouts", "Number of times a request has had a major timeout for a given operation."
        "sent_bytes", "Number of bytes sent for a given operation, including RPC headers and payload."
        "received_bytes", "Number of bytes received for a given operation, including RPC headers and payload."
        "queue_time_seconds", "Duration all requests spent queued for transmission for a given operation before they were sent, in seconds."
        "response_time_seconds",
        "Duration all requests took to get a reply back after a request for a given operation was transmitted, in seconds."
        "request_time_seconds",
        "Duration all requests took from when a request was enqueued to when it was completely handled for a given operation, in seconds."
    |]
    |> byPlace ofOperation (fun name -> "operations_" + name + "_total")
    |> Array.map (fun column ->
        if column.Family.Name.EndsWith("_seconds_total", StringComparison.Ordinal) then
            // The file has milliseconds.
            { column with Scale = 0.001 }
        else
            column)

/// From here on a number is one that fell below 0, and no value. It is also the first that a float may not hold exactly.
[<Literal>]
let private TooLarge = 9007199254740992UL

/// No line has more numbers.
[<Literal>]
let private Most = 32

/// The numbers up to the line's end; NaN for one that is no value, and where there is none.
let private numbers (cursor: byref<Cursor>) : float[] =
    let found: float[] = Array.zeroCreate Most
    let mutable number = 0UL
    let mutable isNumber = true

    for at in 0 .. Most - 1 do
        isNumber <- isNumber && cursor.UInt64 &number
        found[at] <- if isNumber && number < TooLarge then float number else nan

    found

/// Where TCP has a number of a connection; -1 for one that it does not have. UDP is never connected, a local transport has no port, and behind
/// the tenth number RDMA counts other things.
let private placeOf (protocol: string) (at: int) : int =
    match protocol with
    | "udp" when at > 1 -> at + 3
    | "local" -> at + 1
    | "rdma" when at >= Slots -> -1
    | _ -> at

/// Adds a connection to those of its mount before it (`nconnect`), if any.
let private connect (protocol: string) (values: float[]) (isFirst: bool) (all: float[]) : unit =
    let one: float[] = Array.zeroCreate Most

    for at in 0 .. Most - 1 do
        one[at] <- nan

    for at in 0 .. Most - 1 do
        let place = placeOf protocol at

        if place >= 0 && place < Most then
            one[place] <- values[at]

    for at in 0 .. Most - 1 do
        all[at] <-
            if isFirst then one[at]
            elif at = Idle then min all[at] one[at]
            elif at = Slots then max all[at] one[at]
            else all[at] + one[at]

/// A figure of a mount before all is known that it is labelled with.
[<NoComparison; NoEquality>]
type private Told =
    {
        Column: Column
        Operation: string
        Value: float
    }

/// A mount while its paragraph is read.
[<Sealed>]
type private Mount(export: string, address: string) =
    let told = List<Told>()
    let mutable protocol = ""
    let connections: float[] = Array.zeroCreate Most

    member _.Tell(columns: Column[], operation: string, values: float[]) =
        for column in columns do
            if not (Double.IsNaN values[column.At]) then
                told.Add
                    {
                        Column = column
                        Operation = operation
                        Value = values[column.At] * column.Scale
                    }

    member _.Connect(kind: string, values: float[]) =
        connect kind values (protocol = "") connections
        protocol <- kind

    /// The same export may be mounted at many places; the kernel counts for all of them together.
    member mount.WriteTo(seen: HashSet<string>, figures: Figures) =
        if protocol <> "" then
            mount.Tell(transport, "", connections)

        if seen.Add(String.Join('\n', export, protocol, address)) then
            for one in told do
                let labels =
                    if one.Operation = "" then
                        [| export; protocol; address |]
                    else
                        [| export; protocol; address; one.Operation |]

                figures.Add(one.Column.Family, labels, one.Value)

/// The addresses of servers by mount points, from the options of /proc/self/mountinfo.
let private addressesOf (text: ReadOnlySpan<byte>) : Dictionary<string, string> =
    let found = Dictionary<string, string>(StringComparer.Ordinal)
    let mutable cursor = Cursor("", text)

    while cursor.NextLine() do
        for _ in 1..4 do
            cursor.SkipField()

        let mountPoint = Mounts.unescape (cursor.Field())

        while not (cursor.Field().IsEmpty || cursor.Last.SequenceEqual("-"B.AsSpan())) do
            ()

        if cursor.Field().StartsWith("nfs"B.AsSpan()) then
            cursor.SkipField()

            for option in (Text.toString (cursor.Field())).Split ',' do
                if option.StartsWith("addr=", StringComparison.Ordinal) then
                    found[mountPoint] <- option.Substring "addr=".Length

    found

let private nfs _ (texts: FileText[]) (figures: Figures) =
    let seen = HashSet<string>(StringComparer.Ordinal)

    for directory in [| "self/"; "1/" |] do
        let stats = Numbers.textOf (directory + "mountstats") texts

        // A machine with containers has hundreds of mounts, of which most often none is a network's.
        let addresses =
            if stats.Span.IndexOf(" with fstype nfs"B.AsSpan()) >= 0 then
                addressesOf (Numbers.textOf (directory + "mountinfo") texts).Span
            else
                Dictionary<string, string>()

        let mutable cursor = Cursor("", stats.Span)
        let mutable mount: Mount voption = ValueNone
        let mutable inOperations = false

        let finish (mount: Mount voption) =
            match mount with
            | ValueSome known -> known.WriteTo(seen, figures)
            | ValueNone -> ()

        while cursor.NextLine() do
            let word = cursor.Field()

            if word.SequenceEqual("device"B.AsSpan()) then
                finish mount
                inOperations <- false
                // `device D mounted on M with fstype T statvers=V`
                let export = cursor.Field()
                cursor.SkipField()
                cursor.SkipField()
                let mountPoint = cursor.Field()
                cursor.SkipField()
                cursor.SkipField()
                let isNfs = cursor.Field().StartsWith("nfs"B.AsSpan())

                mount <-
                    if isNfs && cursor.Field().StartsWith("statvers="B.AsSpan()) then
                        ValueSome(Mount(Mounts.unescape export, addresses.GetValueOrDefault(Mounts.unescape mountPoint, "")))
                    else
                        ValueNone
            else
                match mount with
                | ValueNone -> ()
                | ValueSome known ->
                    match Text.toString word with
                    | "age:" -> known.Tell(age, "", numbers &cursor)
                    | "bytes:" -> known.Tell(bytes, "", numbers &cursor)
                    | "events:" -> known.Tell(events, "", numbers &cursor)
                    | "xprt:" ->
                        let protocol = Text.toString (cursor.Field())
                        known.Connect(protocol, numbers &cursor)
                    | "per-op" -> inOperations <- true
                    | operation when inOperations && operation.EndsWith ':' ->
                        known.Tell(operations, operation.TrimEnd ':', numbers &cursor)
                    | _ -> ()

        finish mount

// ---- Lustre: llite/*/stats below /proc/fs/lustre, since version 2.10 below /sys/kernel/debug/lustre and for root alone ------------------

let private client = [| "component"; "target" |]

let private lustre labels name help =
    Family.labelled labels MetricKind.Counter ("lustre_" + name) help

let private operationsOfLustre =
    lustre [| "component"; "operation"; "target" |] "stats_total" "Number of operations the filesystem has performed."

/// A line of bytes: its name, and the families of its count and its sum.
let private bytesOfLustre =
    [|
        "read_bytes",
        lustre client "read_samples_total" "Total number of reads that have been recorded.",
        lustre client "read_bytes_total" "The total number of bytes that have been read."
        "write_bytes",
        lustre client "write_samples_total" "Total number of writes that have been recorded.",
        lustre client "write_bytes_total" "The total number of bytes that have been written."
    |]

// `name count samples [unit] min max sum`. `read` and `write`, since version 2.14, count what read_bytes and write_bytes count.
let private llite _ (texts: FileText[]) (figures: Figures) =
    for text in texts do
        let target = text.Names[0]
        let mutable cursor = Cursor("", text.Text.Span)

        while cursor.NextLine() do
            let name = Text.toString (cursor.Field())
            let mutable count = 0UL
            let mutable sum = 0UL

            if
                cursor.UInt64 &count
                && cursor.Field().SequenceEqual("samples"B.AsSpan())
                && name <> "read"
                && name <> "write"
            then
                match bytesOfLustre |> Array.tryFind (fun (line, _, _) -> line = name) with
                | Some(_, samples, bytes) ->
                    figures.Add(samples, [| "client"; target |], float count)

                    for _ in 1..3 do
                        cursor.SkipField()

                    if cursor.UInt64 &sum then
                        figures.Add(bytes, [| "client"; target |], float sum)
                | None -> figures.Add(operationsOfLustre, [| "client"; name; target |], float count)

/// The collectors.
let all: Collector[] =
    [|
        Collector(
            "mountstats",
            true,
            [|
                FileSet.Proc("", [| "self/mountstats"; "1/mountstats" |]).And [| "self/mountinfo"; "1/mountinfo" |]
            |],
            nfs
        )
        Collector(
            "lustre",
            true,
            [|
                FileSet.Proc("fs/lustre/llite/*", [| "stats" |])
                FileSet.Sys("kernel/debug/lustre/llite/*", [| "stats" |])
            |],
            llite,
            true
        )
    |]
