namespace Agent.Receiver

open System
open System.Globalization

/// What keeps a database from being used.
[<RequireQualifiedAccess>]
type StorageFault =
    /// The disk, or the quota, is full.
    | Full
    /// The file system, the directory or the file does not let this user write.
    | ReadOnly
    /// Another process holds SQLite's lock.
    | Busy
    /// The file is not what SQLite wrote.
    | Damaged
    /// The file was moved or deleted while it was in use.
    | Gone
    /// The operating system reports an error of the disk.
    | Failing
    /// The disk has not answered for a while.
    | Hanging
    /// The dashboard itself went wrong.
    | Defect
    /// The cluster of metrics does not answer, or not as it should.
    | Cluster
    /// The cluster of metrics answers, but not with all that it has.
    | Partial
    /// The PostgreSQL with the state that several dashboards share does not answer, or not as it should.
    | State

    /// Its name in answers.
    member fault.Name: string =
        match fault with
        | Full -> "full"
        | ReadOnly -> "read-only"
        | Busy -> "busy"
        | Damaged -> "damaged"
        | Gone -> "gone"
        | Failing -> "failing"
        | Hanging -> "hanging"
        | Defect -> "defect"
        | Cluster -> "cluster"
        | Partial -> "partial"
        | State -> "state"

    /// What is wrong, as part of a sentence.
    member fault.Reason: string =
        match fault with
        | Full -> "the disk is full"
        | ReadOnly -> "the database is read-only"
        | Busy -> "another process has locked the database"
        | Damaged -> "the database is damaged"
        | Gone -> "the database file is gone"
        | Failing -> "the disk reports errors"
        | Hanging -> "the disk does not answer"
        | Defect -> "the dashboard has a defect"
        | Cluster -> "the cluster of metrics cannot be read"
        | Partial -> "the cluster of metrics does not give all figures"
        | State -> "the state in PostgreSQL cannot be used"

    /// What to do about it, as part of a sentence.
    member fault.Remedy: string =
        match fault with
        | Full -> "free some space, or restart with a shorter --raw-hours or --retention-days"
        | ReadOnly -> "allow the dashboard's user to write to the database and its directory"
        | Busy -> "find the process that keeps the database locked"
        | Damaged -> "`ai-dashboard check` shows the damage, `ai-dashboard restore FILE` restores a backup"
        | Gone -> "put the file back, or restart the dashboard"
        | Failing -> "see the kernel's log (dmesg)"
        | Hanging -> "see the kernel's log (dmesg), and check network file systems"
        | Defect -> "report it with the dashboard's log"
        | State -> "look at PostgreSQL and at --state"
        | Cluster -> "look at the cluster and at --metrics-url; nothing newer is shown until it answers"
        | Partial -> "look at the parts of the cluster; machines that seem silent may be well"

/// A stretch of time in which the database cannot be used.
[<NoComparison>]
type Outage =
    {
        /// When it began, by the receiver's clock.
        Since: DateTimeOffset
        /// What it is at present.
        Fault: StorageFault
        /// The same in the words of SQLite or of the operating system.
        Detail: string
    }

/// Whether the database takes what comes in and gives it back.
[<NoComparison>]
type Storage =
    {
        /// Why nothing is stored.
        Writing: Outage voption
        /// Why nothing, or not everything, can be read.
        Reading: Outage voption
        /// Why a cluster of metrics cannot be read; none without `--metrics-url`.
        Cluster: Outage voption
        /// Why the state that several dashboards share cannot be used; none without `--state`.
        State: Outage voption
    }

    /// True when there is nothing to say about the database. What a cluster or PostgreSQL does, no restart of the dashboard changes.
    member storage.IsGood: bool = storage.Writing.IsNone && storage.Reading.IsNone

    static member private Ends(outage: Outage voption) : bool =
        match outage with
        | ValueSome outage -> outage.Fault <> StorageFault.Damaged
        | ValueNone -> false

    /// True when nothing is stored and the next attempt may end that.
    member storage.MayStoreAgain: bool = Storage.Ends storage.Writing

    /// True when something could not be read and the next attempt may end that.
    member storage.MayReadAgain: bool = Storage.Ends storage.Reading

    /// What to tell: of these the one that loses most.
    member storage.Outage: Outage voption =
        if storage.Writing.IsSome then storage.Writing
        elif storage.Reading.IsSome then storage.Reading
        elif storage.Cluster.IsSome then storage.Cluster
        else storage.State

    /// Why a sample is not stored, for the answer to it.
    member storage.Reason: string =
        match storage.Writing with
        | ValueSome outage when outage.Detail <> "" -> $"{outage.Fault.Reason} ({outage.Detail})"
        | ValueSome outage -> outage.Fault.Reason
        | ValueNone -> "the database did not take it"

/// How it becomes known whether the database can be used.
[<RequireQualifiedAccess>]
module Storage =
    /// Nothing is wrong.
    let good: Storage =
        {
            Writing = ValueNone
            Reading = ValueNone
            Cluster = ValueNone
            State = ValueNone
        }

    /// The fault behind a result code of SQLite and its extended form (https://www.sqlite.org/rescode.html).
    [<CompiledName "FaultOf">]
    let faultOf (code: int) (extended: int) : StorageFault =
        match code, extended with
        // SQLITE_READONLY_DBMOVED
        | _, 1032 -> StorageFault.Gone
        // A read past the end of the file, a checksum that is wrong, a file system that says it is damaged.
        | _, (522 | 8202 | 8458) -> StorageFault.Damaged
        | 13, _ -> StorageFault.Full
        | (3 | 8), _ -> StorageFault.ReadOnly
        | (5 | 6), _ -> StorageFault.Busy
        | (11 | 26), _ -> StorageFault.Damaged
        | _ -> StorageFault.Failing

    let private outage (now: DateTimeOffset) (fault: StorageFault) (detail: string) (before: Outage voption) : Outage =
        match before with
        // What is damaged stays damaged until somebody has looked, whatever comes on top.
        | ValueSome known when known.Fault = StorageFault.Damaged -> known
        | ValueSome known ->
            { known with
                Fault = fault
                Detail = detail
            }
        | ValueNone ->
            {
                Since = now
                Fault = fault
                Detail = detail
            }

    let private ended (before: Outage voption) : Outage voption =
        before |> ValueOption.filter (fun known -> known.Fault = StorageFault.Damaged)

    /// A transaction was given up.
    [<CompiledName "WriteFailed">]
    let writeFailed (now: DateTimeOffset) (fault: StorageFault) (detail: string) (storage: Storage) : Storage =
        { storage with
            Writing = ValueSome(outage now fault detail storage.Writing)
        }

    /// A transaction that changed something is on disk.
    [<CompiledName "Written">]
    let written (storage: Storage) : Storage =
        { storage with
            Writing = ended storage.Writing
        }

    /// Something could not be read.
    [<CompiledName "ReadFailed">]
    let readFailed (now: DateTimeOffset) (fault: StorageFault) (detail: string) (storage: Storage) : Storage =
        { storage with
            Reading = ValueSome(outage now fault detail storage.Reading)
        }

    /// Something was read.
    [<CompiledName "Read">]
    let read (storage: Storage) : Storage =
        { storage with
            Reading = ended storage.Reading
        }

    /// A cluster of metrics could not be read.
    [<CompiledName "ClusterFailed">]
    let clusterFailed (now: DateTimeOffset) (detail: string) (storage: Storage) : Storage =
        { storage with
            Cluster = ValueSome(outage now StorageFault.Cluster detail storage.Cluster)
        }

    /// It was read, but says itself that something may be missing.
    [<CompiledName "ClusterPartial">]
    let clusterPartial (now: DateTimeOffset) (detail: string) (storage: Storage) : Storage =
        { storage with
            Cluster = ValueSome(outage now StorageFault.Partial detail storage.Cluster)
        }

    /// It was read.
    [<CompiledName "ClusterRead">]
    let clusterRead (storage: Storage) : Storage = { storage with Cluster = ValueNone }

    /// The state that several dashboards share cannot be used.
    [<CompiledName "StateFailed">]
    let stateFailed (now: DateTimeOffset) (detail: string) (storage: Storage) : Storage =
        { storage with
            State = ValueSome(outage now StorageFault.State detail storage.State)
        }

    /// It can be used.
    [<CompiledName "StateWorks">]
    let stateWorks (storage: Storage) : Storage = { storage with State = ValueNone }

    /// The same while a transaction has been waiting for the disk for some time, which has not been reported yet.
    [<CompiledName "Waiting">]
    let waiting (now: DateTimeOffset) (waited: TimeSpan) (storage: Storage) : Storage =
        if storage.Writing.IsSome then
            storage
        else
            writeFailed (now - waited) StorageFault.Hanging "" storage

    let private faultIn (outage: Outage voption) = outage |> ValueOption.map _.Fault

    /// Whether two states differ in more than the words of SQLite.
    [<CompiledName "Differs">]
    let differs (one: Storage) (other: Storage) : bool =
        faultIn one.Writing <> faultIn other.Writing
        || faultIn one.Reading <> faultIn other.Reading
        || faultIn one.Cluster <> faultIn other.Cluster
        || faultIn one.State <> faultIn other.State

    /// What is wrong, as a sentence without its full stop.
    [<CompiledName "Reason">]
    let reason (outage: Outage) : string =
        if outage.Detail = "" then
            outage.Fault.Reason
        else
            $"{outage.Fault.Reason} ({outage.Detail})"

    let private duration (time: TimeSpan) =
        $"{int64 (Math.Max(0.0, Math.Ceiling time.TotalSeconds))} s"

    let private change now verb (again: string) (before: Outage voption) (after: Outage voption) : string list =
        match before, after with
        | ValueSome before, ValueNone -> [ $"{again} after {duration (now - before.Since)}" ]
        | _, ValueSome after when faultIn before <> ValueSome after.Fault -> [ $"{verb}: {reason after}; {after.Fault.Remedy}" ]
        | _ -> []

    let private cluster now (before: Outage voption) (after: Outage voption) : string list =
        match before, after with
        | _, ValueSome known when known.Fault = StorageFault.Partial -> change now "figures may be missing" "" before after
        | ValueSome known, ValueNone when known.Fault = StorageFault.Partial ->
            change now "" "the answers of the cluster of metrics are whole again" before after
        | _ -> change now "no figures" "the cluster of metrics can be read again" before after

    /// The lines for the log when one state follows the other: one for each change, none for more of the same.
    [<CompiledName "Lines">]
    let lines (now: DateTimeOffset) (before: Storage) (after: Storage) : string list =
        change now "samples cannot be stored; agents keep them" "samples are stored again" before.Writing after.Writing
        @ change now "the database cannot be read" "the database can be read again" before.Reading after.Reading
        @ cluster now before.Cluster after.Cluster
        @ change now "nobody can log in, and alerts wait" "the state in PostgreSQL can be used again" before.State after.State

    /// The state of the service in one line: how many servers are live, or why nothing is stored.
    [<CompiledName "Status">]
    let status (live: int) (servers: int) (storage: Storage) : string =
        match storage.Outage with
        | ValueSome outage ->
            let since = outage.Since.ToString("yyyy-MM-dd HH:mm:ss 'UTC'", CultureInfo.InvariantCulture)
            $"since {since}: {reason outage}"
        | ValueNone -> $"{live} of {servers} servers live"
