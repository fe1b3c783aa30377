/// `/proc/net/rpc/nfs`: the calls of this machine's NFS client, for all mounts together.
[<RequireQualifiedAccess>]
module internal Agent.Sender.NfsClient

open System
open Agent.Core
open Agent.Outbound

/// A column of a line, counted behind the line's name.
type private Column =
    {
        Line: string
        At: int
        Family: Family
        Labels: string[]
    }

let private columns: Column[] =
    let column line at family labels =
        {
            Line = line
            At = at
            Family = family
            Labels = labels
        }

    let packets =
        Family.labelled
            [| "protocol" |]
            MetricKind.Counter
            "node_nfs_packets_total"
            "Total NFSd network packets (sent+received) by protocol type."

    let counter name help =
        Family.counter $"node_nfs_{name}_total" help

    [|
        column "net" 2 packets [| "udp" |]
        column "net" 3 packets [| "tcp" |]
        column "net" 4 (counter "connections" "Total number of NFSd TCP connections.") [||]
        column "rpc" 1 (counter "rpcs" "Total number of RPCs performed.") [||]
        column "rpc" 2 (counter "rpc_retransmissions" "Number of RPC transmissions performed.") [||]
        column "rpc" 3 (counter "rpc_authentication_refreshes" "Number of RPC authentication refreshes performed.") [||]
    |]

let private requests =
    Family.labelled [| "proto"; "method" |] MetricKind.Counter "node_nfs_requests_total" "Number of NFS procedures invoked."

/// A version of the protocol, and its procedures in the order of their numbers.
let private procedures =
    [|
        "2", "Null GetAttr SetAttr Root Lookup ReadLink Read WrCache Write Create Remove Rename Link SymLink MkDir RmDir ReadDir FsStat"
        "3",
        "Null GetAttr SetAttr Lookup Access ReadLink Read Write Create MkDir SymLink MkNod Remove RmDir Rename Link ReadDir ReadDirPlus "
        + "FsStat FsInfo PathConf Commit"
        "4",
        "Null Read Write Commit Open OpenConfirm OpenNoattr OpenDowngrade Close Setattr FsInfo Renew SetClientID SetClientIDConfirm Lock Lockt "
        + "Locku Access Getattr Lookup LookupRoot Remove Rename Link Symlink Create Pathconf StatFs ReadLink ReadDir ServerCaps DelegReturn "
        + "GetACL SetACL FsLocations ReleaseLockowner Secinfo FsidPresent ExchangeID CreateSession DestroySession Sequence GetLeaseTime "
        + "ReclaimComplete LayoutGet GetDeviceInfo LayoutCommit LayoutReturn SecinfoNoName TestStateID FreeStateID GetDeviceList "
        + "BindConnToSession DestroyClientID Seek Allocate DeAllocate LayoutStats Clone"
    |]

let private tell _ (texts: FileText[]) (figures: Figures) =
    let mutable cursor = Cursor("", (Numbers.textOf "rpc/nfs" texts).Span)

    while cursor.NextLine() do
        let line = Text.toString (cursor.Field())

        for column in columns do
            if column.Line = line then
                let mutable values = cursor
                let mutable value = 0.0

                for _ in 2 .. column.At do
                    values.SkipField()

                if values.Decimal &value then
                    figures.Add(column.Family, column.Labels, value)

        for version, names in procedures do
            if line = "proc" + version then
                // How many numbers follow.
                cursor.SkipField()

                for name in names.Split ' ' do
                    let mutable value = 0.0

                    if cursor.Decimal &value then
                        figures.Add(requests, [| version; name |], value)

/// The collectors.
let all: Collector[] = [| Collector("nfs", true, [| FileSet.Net("", [| "rpc/nfs" |]) |], tell) |]
