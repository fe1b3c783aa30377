namespace Agent.Core.Jobs

open System
open System.Collections.Generic
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

/// A process and a GPU that it holds.
[<Struct>]
[<NoComparison>]
type Holding =
    {
        /// The process.
        Pid: int
        /// The GPU or the MIG instance, with the memory that this process holds there.
        Gpu: JobGpu
        /// True for one that draws and computes nothing. It belongs to the job that it is part of, but makes none: a display server is no job.
        IsGraphics: bool
    }

/// The processes of one job.
[<NoComparison>]
type JobGroup =
    {
        /// Stays the same for the job's life.
        Id: string
        /// Who it belongs to.
        Owner: Owner
        /// The user.
        Uid: int64
        /// The topmost process; of several the one that started first.
        Root: TreeProcess
        /// Those that hold GPUs, by number.
        Drivers: TreeProcess[]
        /// Those below them that hold none: workers that load data.
        Loaders: TreeProcess[]
        /// All others: launchers, helpers.
        Others: TreeProcess[]
        /// The GPUs, by index.
        Gpus: JobGpu[]
    }

    /// All processes.
    member group.Processes: TreeProcess[] = Array.concat [| group.Drivers; group.Loaders; group.Others |]

/// Which processes and GPUs are one job.
[<RequireQualifiedAccess>]
module Grouping =
    /// The most jobs that are reported.
    [<Literal>]
    let MostJobs = 64

    let private holdingsIn (isGraphics: bool) (index: int) (uuid: string) (processes: ComputeProcess[] voption) : Holding[] =
        match processes with
        | ValueNone -> [||]
        | ValueSome processes ->
            processes
            // The driver reports 0 for a process outside this PID namespace.
            |> Array.filter (fun one -> one.Pid > 0)
            |> Array.map (fun one ->
                {
                    Pid = one.Pid
                    Gpu =
                        {
                            Index = index
                            Uuid = uuid
                            Memory = one.MemoryUsed
                            SmShare = ValueNone
                        }
                    IsGraphics = isGraphics
                })

    /// Who holds what, by the lists of GPUs and of their MIG instances. A board that is divided may list the processes of its instances too; they
    /// count there. Where nobody computes there is nobody.
    [<CompiledName "Holdings">]
    let holdings (gpus: Gpu[]) : Holding[] =
        gpus
        |> Array.collect (fun gpu ->
            let inside =
                match gpu.MigDevices with
                | ValueSome devices ->
                    devices
                    |> Array.collect (fun device -> holdingsIn false gpu.Index device.Uuid device.ComputeProcesses)
                | ValueNone -> [||]

            let whole =
                Array.append
                    (holdingsIn false gpu.Index gpu.Uuid gpu.ComputeProcesses)
                    (holdingsIn true gpu.Index gpu.Uuid gpu.GraphicsProcesses)
                |> Array.filter (fun one -> inside |> Array.forall (fun other -> other.Pid <> one.Pid))

            Array.append whole inside)
        |> fun all -> if all |> Array.forall _.IsGraphics then [||] else all

    /// So much of a container's id is enough to know it by, as Docker shows it.
    [<Literal>]
    let private ShortId = 12

    /// What processes of one job have in common. Never two users: a container may have several.
    let private keyOf (table: IReadOnlyDictionary<int, TreeProcess>) (one: TreeProcess) : string =
        let belonging = one.Belonging

        if belonging.IsOneJob then
            let value =
                match belonging.Owner.Kind with
                | OwnerKind.Container when belonging.Owner.Name = "" && belonging.Owner.Value.Length > ShortId ->
                    belonging.Owner.Value.Substring(0, ShortId)
                | _ -> belonging.Owner.Value

            $"{belonging.Owner.Kind.Name}-{value}-{one.Uid}"
        else
            let top = ProcessTree.top table one
            $"process-{top.Pid}-{uint64 top.StartedAt}"

    let private addMemory (one: uint64<B> voption) (other: uint64<B> voption) : uint64<B> voption =
        match one, other with
        | ValueSome one, ValueSome other -> ValueSome(addSaturating one other)
        // A part that is not known makes the sum unknown.
        | _ -> ValueNone

    let private gpusOf (holdings: Holding[]) : JobGpu[] =
        holdings
        |> Array.groupBy (fun one -> struct (one.Gpu.Index, one.Gpu.Uuid))
        |> Array.map (fun (_, parts) ->
            { parts[0].Gpu with
                Memory = parts |> Array.map _.Gpu.Memory |> Array.reduce addMemory
            })
        |> Array.sortWith (fun one other ->
            match compare one.Index other.Index with
            | 0 -> String.CompareOrdinal(one.Uuid, other.Uuid)
            | order -> order)

    let private firstGpu (group: JobGroup) = group.Gpus[0].Index

    /// The jobs, by their first GPU and then their ids; `Holding`s of processes that are not among these are nobody's. Ranks of one launcher are one
    /// job, as are all processes and GPUs of one user in one Slurm job, pod, container or service.
    [<CompiledName "Group">]
    let group (processes: TreeProcess[]) (holdings: Holding[]) : JobGroup[] =
        let table = ProcessTree.index processes
        let processes = table.Values |> Seq.sortBy _.Pid |> Array.ofSeq
        let holders = HashSet<int>(holdings |> Seq.map _.Pid)

        let computing = HashSet<int>(holdings |> Seq.filter (fun one -> not one.IsGraphics) |> Seq.map _.Pid)

        let keys = Dictionary<int, string>()

        for one in processes do
            keys[one.Pid] <- keyOf table one

        let wanted =
            HashSet<string>(
                processes
                |> Seq.filter (fun one -> computing.Contains one.Pid)
                |> Seq.map (fun one -> keys[one.Pid])
            )

        processes
        |> Array.filter (fun one -> wanted.Contains keys[one.Pid])
        |> Array.groupBy (fun one -> keys[one.Pid])
        |> Array.map (fun (key, members) ->
            let isLoader (one: TreeProcess) =
                not (CommandLine.isHelper one.Arguments)
                && ProcessTree.ancestors table one
                   |> Array.exists (fun above -> holders.Contains above.Pid)

            let drivers, others = members |> Array.partition (fun one -> holders.Contains one.Pid)
            let loaders, others = others |> Array.partition isLoader

            {
                Id = key
                Owner = drivers[0].Belonging.Owner
                Uid = drivers[0].Uid
                Root =
                    drivers
                    |> Array.map (ProcessTree.top table)
                    |> Array.minBy (fun top -> struct (top.StartedAt, top.Pid))
                Drivers = drivers
                Loaders = loaders
                Others = others
                Gpus =
                    holdings
                    |> Array.filter (fun one -> drivers |> Array.exists (fun driver -> driver.Pid = one.Pid))
                    |> gpusOf
            })
        |> Array.sortWith (fun one other ->
            match compare (firstGpu one) (firstGpu other) with
            | 0 -> String.CompareOrdinal(one.Id, other.Id)
            | order -> order)

    /// What a job is called: by its owner, else by its first process that holds a GPU. Empty when nothing may be reported.
    [<CompiledName "NameOf">]
    let nameOf (detail: JobDetail) (group: JobGroup) : string =
        if group.Owner.Name <> "" then
            group.Owner.Name
        elif detail = JobDetail.None then
            ""
        else
            match CommandLine.nameOf group.Drivers[0].Arguments with
            | "" -> group.Drivers[0].Name
            | name -> name

    /// The command line of its first process that holds a GPU, as far as it may be reported.
    [<CompiledName "CommandOf">]
    let commandOf (detail: JobDetail) (group: JobGroup) : string =
        CommandLine.ofDetail detail group.Drivers[0].Arguments
