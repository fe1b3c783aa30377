/// The diagnosis of `--gpu-job-directory`.
[<RequireQualifiedAccess>]
module Agent.Sender.GpuJobCheck

open Agent.Core
open Agent.Core.Jobs

[<Literal>]
let private Check = "GPU job files"

/// What the directory holds, or the first thing that is wrong with it.
[<CompiledName "Row">]
let row (directory: string) (found: Result<GpuJobFile[], SourceError>) : Row =
    match found with
    | Error error ->
        { Diagnosis.source Check false (Error error) with
            Finding = string error
            Fix =
                "Have the scheduler's prolog write one file per GPU there, with one job id per line, readable by the agent's user; docs/prometheus.md has an example."
        }
    | Ok files ->
        let jobs = files |> Array.collect _.Jobs |> Array.distinct

        let finding =
            if files.Length = 0 then
                $"{directory} has no files for GPUs at present"
            else
                $"""{directory} lists {DoctorRow.plural jobs.Length "job"} on {DoctorRow.plural files.Length "GPU"}"""

        { Diagnosis.source Check false (Ok 1) with
            Finding = finding
        }
