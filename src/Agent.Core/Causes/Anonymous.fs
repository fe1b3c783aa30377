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
            { Job.Unknown with
                Gpus =
                    used
                    |> Array.map (fun gpu ->
                        {
                            Index = gpu.Index
                            Uuid = gpu.Uuid
                            Memory = gpu.MemoryUsed
                            SmShare = ValueNone
                        })
            }
