/// What the clients of NFS and Lustre count for each of their mounts.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NetworkMounts

open System
open System.Collections.Generic
open Agent.Core
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

let private events =
    [|
        0, "inode_revalidate", "Number of times cached inode attributes are re-validated from the server."
        1, "dnode_revalidate", "Number of times cached dentry nodes are re-validated from the server."
        2, "data_invalidate", "Number of times an inode cache is cleared."
        3, "attribute_invalidate", "Number of times cached inode attributes are invalidated."
        4, "vfs_open", "Number of times cached inode attributes are invalidated."
        5, "vfs_lookup", "Number of times a directory lookup has occurred."
        6, "vfs_access", "Number of times permissions have been checked."
        7, "vfs_update_page", "Number of updates (and potential writes) to pages."
        8, "vfs_read_page", "Number of pages read directly via mmap()'d files."
        9, "vfs_read_pages", "Number of times a group of pages have been read."
        10, "vfs_write_page", "Number of pages written directly via mmap()'d files."
        11, "vfs_write_pages", "Number of times a group of pages have been written."
        12, "vfs_getdents", "Number of times directory entries have been read with getdents()."
        13, "vfs_setattr", "Number of times directory entries have been read with getdents()."
        14, "vfs_flush", "Number of pending writes that have been forcefully flushed to the server."
        15, "vfs_fsync", "Number of times fsync() has been called on directories and files."
        16, "vfs_lock", "Number of times locking has been attempted on a file."
        17, "vfs_file_release", "Number of times files have been closed and released."
        19, "truncation", "Number of times files have been truncated."
        20, "write_extension", "Number of times a file has been grown due to writes beyond its existing end."
        21, "silly_rename", "Number of times a file was removed while still open by another process."
        22, "short_read", "Number of times the NFS server gave less data than expected while reading."
        23, "short_write", "Number of times the NFS server wrote less data than expected while writing."
        24, "jukebox_delay", "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage."
        25, "pnfs_read", "Number of NFS v4.1+ pNFS reads."
        26, "pnfs_write", "Number of NFS v4.1+ pNFS writes."
    |]
    |> Array.map (fun (at, name, help) -> column ofMount at $"event_{name}_total" help)

/// The place of the time that has passed since a connection was last used.
[<Literal>]
let private Idle = 4

/// The place of the most requests that were under way.
[<Literal>]
let private Slots = 10

/// As TCP has them: the port comes first.
let private transport =
    [|
        1, "bind_total", "Number of times the client has had to establish a connection from scratch to the NFS server."
        2, "connect_total", "Number of times the client has made a TCP connection to the NFS server."
        Idle, "idle_time_seconds", "Duration since the NFS mount last saw any RPC traffic, in seconds."
        5, "sends_total", "Number of RPC requests for this mount sent to the NFS server."
        6, "receives_total", "Number of RPC responses for this mount received from the NFS server."
        7, "bad_transaction_ids_total", "Number of times the NFS server sent a response with a transaction ID unknown to this client."
        9, "backlog_queue_total", "Total number of items added to the RPC backlog queue."
        Slots, "maximum_rpc_slots", "Maximum number of simultaneously active RPC requests ever used."
        11, "sending_queue_total", "Total number of items added to the RPC transmission sending queue."
        12, "pending_queue_total", "Total number of items added to the RPC transmission pending queue."
    |]
    |> Array.map (fun (at, name, help) -> column ofMount at $"transport_{name}" help)

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
    |> Array.mapi (fun at (name, help) ->
        { column ofOperation at $"operations_{name}_total" help with
            // The file has milliseconds.
            Scale =
                if name.EndsWith("_seconds", StringComparison.Ordinal) then
                    0.001
                else
                    1.0
        })

/// From here on a number is one that fell below 0, and no value. It is also the first that a float may not hold exactly.
[<Literal>]
let private TooLarge = 9007199254740992UL

/// The numbers up to the line's end; NaN for one that is no value.
let private numbers (cursor: byref<Cursor>) : float[] =
    let found = List<float>()
    let mutable number = 0UL

    while cursor.UInt64 &number do
        found.Add(if number < TooLarge then float number else nan)

    found.ToArray()

/// The numbers of a connection at the places that TCP has them at. UDP is never connected, a local one has no port, and behind the
/// ninth number RDMA counts other things.
let private asTcp (protocol: string) (found: float[]) : float[] =
    match protocol with
    | "udp" when found.Length > 2 -> Array.concat [| found[..1]; [| nan; nan; nan |]; found[2..] |]
    | "local" -> Array.append [| nan |] found
    | "rdma" -> Array.truncate Slots found
    | _ -> found

/// Several connections of one mount (`nconnect`) as one.
let private together (one: float[]) (other: float[]) : float[] =
    Array.init (min one.Length other.Length) (fun at ->
        match at with
        | Idle -> min one[at] other[at]
        | Slots -> max one[at] other[at]
        | _ -> one[at] + other[at])

/// A mount while its paragraph is read.
[<Sealed>]
type private Mount(export: string, address: string) =
    let told = List<struct (Column * string * float)>()
    let mutable protocol = ""
    let mutable connection: float[] = [||]

    member _.Tell(columns: Column[], operation: string, values: float[]) =
        for column in columns do
            if column.At < values.Length && not (Double.IsNaN values[column.At]) then
                told.Add(struct (column, operation, values[column.At] * column.Scale))

    member _.Connect(kind: string, values: float[]) =
        connection <-
            if protocol = "" then
                asTcp kind values
            else
                together connection (asTcp kind values)

        protocol <- kind

    /// The same export may be mounted at many places; the kernel counts for all of them together.
    member mount.WriteTo(seen: HashSet<string>, figures: Figures) =
        mount.Tell(transport, "", connection)

        if seen.Add(String.Join('\n', export, protocol, address)) then
            for struct (column, operation, value) in told do
                let labels =
                    if operation = "" then
                        [| export; protocol; address |]
                    else
                        [| export; protocol; address; operation |]

                figures.Add(column.Family, labels, value)

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
        let addresses = addressesOf (Numbers.textOf (directory + "mountinfo") texts).Span
        let mutable cursor = Cursor("", (Numbers.textOf (directory + "mountstats") texts).Span)
        let mutable mount: Mount voption = ValueNone
        let mutable inOperations = false

        let finish (mount: Mount voption) =
            match mount with
            | ValueSome known -> known.WriteTo(seen, figures)
            | ValueNone -> ()

        while cursor.NextLine() do
            let first = Text.toString (cursor.Field())

            if first = "device" then
                finish mount
                inOperations <- false
                // `device D mounted on M with fstype T statvers=V`
                let export = Mounts.unescape (cursor.Field())
                cursor.SkipField()
                cursor.SkipField()
                let mountPoint = Mounts.unescape (cursor.Field())
                cursor.SkipField()
                cursor.SkipField()
                let isNfs = cursor.Field().StartsWith("nfs"B.AsSpan())

                mount <-
                    if isNfs && cursor.Field().StartsWith("statvers="B.AsSpan()) then
                        ValueSome(Mount(export, addresses.GetValueOrDefault(mountPoint, "")))
                    else
                        ValueNone
            else
                match mount with
                | ValueNone -> ()
                | ValueSome known ->
                    match first with
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
                FileSet.Proc("", [| "self/mountstats"; "self/mountinfo"; "1/mountstats"; "1/mountinfo" |])
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
