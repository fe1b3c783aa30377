/// What `--why` prints.
module Agent.Sender.Tests.WhyTests

open System
open System.Text.Json
open Agent.Sender
open Agent.Core
open Agent.Core.Jobs
open Agent.TestSupport.VerdictTraces
open Agent.TestSupport
open Expecto

let private now = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

let private verdict label : Verdict =
    {
        Label = label
        Second = ValueNone
        Since = now.AddSeconds -40.0
        Confidence = 0.92
        Reason = "The GPU is at 25 % and waits; the one loader is at 99 % of a core."
        Fix = "Use 8 loader workers: num_workers=8."
        Evidence =
            [|
                {
                    Name = "loader thread"
                    Value = 99.4
                    Limit = ValueSome 90.0
                    Unit = "%"
                }
                {
                    Name = "read"
                    Value = 12_345_678.0
                    Limit = ValueNone
                    Unit = "B/s"
                }
            |]
        RuledOut = [||]
    }

let private judged label : JudgedJob =
    {
        Job =
            { healthyJob 2 with
                StartedAt = ValueSome(now.AddHours -3.0)
            }
        Verdict = verdict label
    }

let private report (jobs: JudgedJob list) machine : JobReport =
    {
        Jobs = Array.ofList jobs
        Machine = verdict machine
        LeftOut = 0
    }

let private linesOf width report =
    Why.lines width now report |> Array.map _.Text |> List.ofArray

[<Tests>]
let tests =
    testList
        "Why"
        [
            testCase "a job: who, what holds it back, why, what to try, and the figures"
            <| fun () ->
                Expect.equal
                    (linesOf 120 (report [ judged VerdictLabel.LoaderCpu ] VerdictLabel.LoaderCpu))
                    [
                        "train.py of alice (slurm 4711): GPUs 0,1, 10 processes, 8 of them load data, running for 3 hours"
                        "  loader-cpu, 92 % sure, for 40 seconds"
                        "  why    The GPU is at 25 % and waits; the one loader is at 99 % of a core."
                        "  try    Use 8 loader workers: num_workers=8."
                        "  seen   loader thread 99.4 % (limit 90 %); read 12.3 MB/s"
                    ]
                    "lines"

            testCase "what could not be looked at is said, and is not healthy"
            <| fun () ->
                let listed =
                    { Gpu.Gpu.OfIndex 0 with
                        ComputeProcesses = ValueSome [||]
                    }

                Expect.equal (Why.blind 0 [| listed |] "") [||] "all is seen"
                Expect.equal (Why.blind 2 [||] "").Length 1 "hidden processes"
                let unlisted = Why.blind 0 [| listed; Gpu.Gpu.OfIndex 1 |] ""
                Expect.stringContains unlisted[0] "who uses GPU 1 is not known" "no list"
                Expect.equal (Why.blind 0 [||] "no driver") [| "no driver" |] "no driver"
                let healthy = report [] VerdictLabel.Idle
                Expect.equal (Why.exitCodeOf false healthy, Why.exitCodeOf true healthy) (0, 1) "exit codes"
                Expect.equal (Why.exitCodeOf true (report [] VerdictLabel.Hang)) 3 "held back all the same"

                let lines = Why.blindLines 40 [| "no driver" |] 3 |> Array.map _.Text |> List.ofArray

                Expect.equal
                    lines
                    [
                        "Could not look: no driver."
                        "3 more jobs were left out: at most 64"
                        "  are watched."
                    ]
                    "lines"

            testCase "a narrow terminal gets shorter lines, none of which loses a word"
            <| fun () ->
                let wide = linesOf 120 (report [ judged VerdictLabel.LoaderCpu ] VerdictLabel.LoaderCpu)
                let narrow = linesOf 42 (report [ judged VerdictLabel.LoaderCpu ] VerdictLabel.LoaderCpu)
                Expect.all narrow (fun line -> line.Length <= 42) "width"

                let words (lines: string list) =
                    lines
                    |> List.collect (fun line -> List.ofArray (line.Split(' ', StringSplitOptions.RemoveEmptyEntries)))

                Expect.equal (words narrow) (words wide) "words"

            testCase "one process, one GPU, one loader"
            <| fun () ->
                let alone processes loaders =
                    let judged = judged VerdictLabel.Compute

                    { judged with
                        Job =
                            { judged.Job with
                                Gpus = judged.Job.Gpus[..0]
                                Processes = processes
                                Loaders = loaders
                            }
                    }

                let heading processes loaders =
                    (linesOf 120 (report [ alone processes loaders ] VerdictLabel.Compute)).Head

                Expect.stringContains (heading 1 0) "): GPU 0, 1 process, running" "alone"
                Expect.stringContains (heading 2 1) "): GPU 0, 2 processes, 1 of them loads data, running" "with a loader"

            testCase "a fault that is no job's is told behind the jobs; without jobs the machine stands alone"
            <| fun () ->
                let both = linesOf 120 (report [ judged VerdictLabel.Compute ] VerdictLabel.GpuFault)
                Expect.contains both "The machine:" "a fault of the machine"
                Expect.contains both "  gpu-fault, 92 % sure, for 40 seconds" "its label"
                Expect.equal (linesOf 120 (report [] VerdictLabel.Idle)).Head "No job on a GPU was found. The machine:" "nobody"

            testCase "the label alone is coloured: green, yellow and red"
            <| fun () ->
                for label, colour in
                    [
                        VerdictLabel.Compute, 32
                        VerdictLabel.DiskRead, 33
                        VerdictLabel.GpuFault, 31
                    ] do
                    Expect.equal
                        (Why.lines 100 now (report [ judged label ] label)
                         |> Array.choose (fun line -> if line.Colour = 0 then None else Some line.Colour))
                        [| colour |]
                        label.Name

            testCase "the exit code says whether something is held back"
            <| fun () ->
                for label in VerdictLabel.All do
                    let expected =
                        match label.Name with
                        | "compute"
                        | "idle" -> 0
                        | "starting" -> 1
                        | _ -> 3

                    Expect.equal (Why.exitCode (report [] label)) expected label.Name

            testCase "the JSON has the keys of a sample"
            <| fun () ->
                use document =
                    JsonDocument.Parse(Why.json (report [ judged VerdictLabel.LoaderCpu ] VerdictLabel.LoaderCpu))

                let job = document.RootElement.GetProperty("jobs")[0]
                Expect.equal (job.GetProperty("verdict").GetProperty("label").GetString()) "loader-cpu" "the job's"
                Expect.equal (document.RootElement.GetProperty("verdict").GetProperty("label").GetString()) "loader-cpu" "the machine's"

            testCase "--seconds and --json go with --why, which needs nobody to send to"
            <| fun () ->
                let settings = CommandLine.settingsOf [ "--why"; "--seconds=45"; "--json" ] []
                Expect.equal settings.Why (ValueSome(TimeSpan.FromSeconds 45.0)) "45 s"
                Expect.equal (CommandLine.settingsOf [ "--why" ] []).Why (ValueSome(TimeSpan.FromSeconds 30.0)) "30 s"

                for words, part in
                    [
                        [ "--why"; "--seconds=19" ], "from 20 to 600"
                        [ "--why"; "--seconds=601" ], "from 20 to 600"
                        [ "--why"; "--doctor" ], "leave one of them out"
                        [ "--dry-run"; "--seconds=30" ], "only --why watches"
                    ] do
                    Expect.exists (CommandLine.errorsOf words []) _.Contains(part) part
        ]
