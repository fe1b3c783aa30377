/// GPUs that are in use though no job is known.
[<RequireQualifiedAccess>]
module internal Agent.Core.Causes.Anonymous

open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units

/// One job of unknown processes, for which the machine's figures stand in.
let jobOf (gpus: GpuEvidence[]) : Job voption =
    let isUsed (gpu: GpuEvidence) =
        gpu.IsHeld
        || (match gpu.Busy with
            | ValueSome busy -> busy > Limits.gpuStill
            | ValueNone -> false)

    match gpus |> Array.filter isUsed with
    | [||] -> ValueNone
    | used ->
        ValueSome
            {
                Id = ""
                Owner =
                    {
                        Kind = OwnerKind.Session
                        Value = ""
                        Namespace = ""
                        Name = ""
                    }
                User = ""
                Uid = -1
                Name = ""
                Command = ""
                RootPid = 0
                StartedAt = ValueNone
                Gpus =
                    used
                    |> Array.map (fun gpu ->
                        {
                            Index = gpu.Index
                            Uuid = gpu.Uuid
                            Memory = gpu.MemoryUsed
                            SmShare = ValueNone
                        })
                Processes = 0
                Threads = 0
                Loaders = 0
                CpuCores = ValueNone
                CpuCoresAllowed = ValueNone
                BusiestThread = ValueNone
                BusiestThreadRole = ValueNone
                MainThread = ValueNone
                LoadersBusy = ValueNone
                CpuWait = ValueNone
                CpuThrottled = ValueNone
                Blocked = ValueNone
                MainBlocked = ValueNone
                BlockedOn = ValueNone
                Read = ValueNone
                Written = ValueNone
                NetworkReceived = ValueNone
                Memory = ValueNone
                MemoryLimit = ValueNone
                MemoryStall = ValueNone
                IoStall = ValueNone
                MajorFaults = ValueNone
                Refaults = ValueNone
                OutOfMemoryKills = 0UL
                GpuBusy = ValueNone
                GpuLeastBusy = ValueNone
                GpuPower = ValueNone
            }
