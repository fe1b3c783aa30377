/// Slurm jobs that have no control group of their own, as with `proctrack/linuxproc` and `proctrack/pgid`: known by the daemon above them,
/// which any user may see, or by an environment that could be read.
[<RequireQualifiedAccess>]
module Agent.Core.Jobs.SlurmSteps

open System
open System.Collections.Generic

/// What the kernel calls the daemon that starts and watches one step of a job.
[<Literal>]
let private Daemon = "slurmstepd"

/// The deepest tree that is followed.
[<Literal>]
let private Deepest = 100

/// The job's number in the title that slurmstepd writes over its arguments: `slurmstepd: [4711.batch]`, `[4711.0]`, `[4711.extern]`, and
/// `[4711.0+1]` of a heterogeneous job. Empty for anything else.
[<CompiledName "JobOf">]
let jobOf (arguments: string[]) : string =
    let title = if arguments.Length = 0 then "" else arguments[0]
    let opening = Daemon + ": ["

    if not (title.StartsWith(opening, StringComparison.Ordinal)) then
        ""
    else
        let mutable length = 0

        while opening.Length + length < title.Length
              && Char.IsAsciiDigit title[opening.Length + length] do
            length <- length + 1

        let ending = opening.Length + length

        if
            length > 0
            && ending < title.Length
            && (title[ending] = '.' || title[ending] = ']')
        then
            title.Substring(opening.Length, length)
        else
            ""

/// Anybody may call a program so, but not as root.
let private isDaemon (one: TreeProcess) = one.Uid = 0L && one.Name = Daemon

let private isSlurm (belonging: Belonging) =
    match belonging.Owner.Kind with
    | OwnerKind.Slurm -> true
    | _ -> false

/// True where a control group says it, which needs no other witness.
let private isCertain (belonging: Belonging) =
    match belonging.Owner.Kind with
    | OwnerKind.Slurm -> belonging.Component <> ""
    | OwnerKind.Unit
    | OwnerKind.Session -> false
    | _ -> true

/// The job's number by the nearest daemon above a process, and the nearest process of the same user at or above it that was already known to be
/// a Slurm job's.
let private witnesses (table: IReadOnlyDictionary<int, TreeProcess>) (one: TreeProcess) : struct (string * Belonging voption) =
    let mutable job = ""
    let mutable known = ValueNone
    let mutable next = one
    let mutable depth = 0

    while depth < Deepest do
        if known.IsNone && next.Uid = one.Uid && isSlurm next.Belonging then
            known <- ValueSome next.Belonging

        match table.TryGetValue next.Parent with
        // A parent that started later is another process, which took over the number.
        | true, parent when parent.Pid <> next.Pid && parent.StartedAt <= next.StartedAt ->
            if isDaemon parent then
                job <- jobOf parent.Arguments

            next <- parent
            depth <- if job = "" then depth + 1 else Deepest
        | _ -> depth <- Deepest

    struct (job, known)

let private ownerOf (table: IReadOnlyDictionary<int, TreeProcess>) (one: TreeProcess) : Belonging =
    let own = one.Belonging

    if isCertain own || isDaemon one then
        own
    else
        match witnesses table one with
        | struct ("", ValueSome known) -> known
        | struct ("", ValueNone) -> own
        // The daemon is believed first: a process may have taken its environment from another job.
        | struct (job, ValueSome known) when known.Owner.Value = job -> known
        | struct (job, _) ->
            {
                Owner =
                    {
                        Kind = OwnerKind.Slurm
                        Value = job
                        Namespace = ""
                        Name = ""
                    }
                Component = ""
                IsOneJob = true
            }

/// The processes with their Slurm jobs: below a slurmstepd of root's all are that step's, whatever they call themselves; what a process of a
/// known job started is that job's too. All processes of one user in one job get the name that one of them is known by.
[<CompiledName "Assign">]
let assign (processes: TreeProcess[]) : TreeProcess[] =
    if not (processes |> Array.exists (fun one -> isSlurm one.Belonging || isDaemon one)) then
        processes
    else
        let table = ProcessTree.index processes
        let owned = processes |> Array.map (ownerOf table)
        let names = Dictionary<string, string>()
        let keyOf (one: TreeProcess) (belonging: Belonging) = $"{belonging.Owner.Value} {one.Uid}"

        for i in 0 .. processes.Length - 1 do
            let name = owned[i].Owner.Name

            if isSlurm owned[i] && name <> "" then
                let key = keyOf processes[i] owned[i]

                match names.TryGetValue key with
                // Of several the same one whatever the order.
                | true, other when String.CompareOrdinal(other, name) <= 0 -> ()
                | _ -> names[key] <- name

        Array.map2
            (fun one belonging ->
                let belonging =
                    match isSlurm belonging, names.TryGetValue(keyOf one belonging) with
                    | true, (true, name) when name <> belonging.Owner.Name ->
                        { belonging with
                            Owner = { belonging.Owner with Name = name }
                        }
                    | _ -> belonging

                if Object.ReferenceEquals(belonging, one.Belonging) then
                    one
                else
                    { one with Belonging = belonging })
            processes
            owned
