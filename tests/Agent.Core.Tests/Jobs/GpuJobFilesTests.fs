/// The files of dcgm-exporter's job directory.
module Agent.Core.Tests.Jobs.GpuJobFilesTests

open System
open System.Text
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.TestSupport
open Expecto

let private file gpu instance jobs : GpuJobFile =
    {
        Gpu = gpu
        Instance = instance
        Jobs = jobs
    }

let private parse (text: byte[]) =
    GpuJobFiles.parse "/run/jobs/0" (file 0 ValueNone [||]) (ReadOnlySpan text)

let private named (name: string) =
    GpuJobFiles.named name
    |> ValueOption.map (fun file -> file.Gpu, file.Instance, file.Jobs)

/// A trainer of Slurm's job 4711 on these GPUs, or, with another owner, of nobody's.
let private job kind (uuids: string list) : Job =
    let job = VerdictTraces.healthyJob uuids.Length

    { job with
        Owner = { job.Owner with Kind = kind }
        Gpus =
            Array.ofList uuids
            |> Array.mapi (fun i uuid -> { job.Gpus[i] with Uuid = uuid })
    }

let private mig index instance : MigDevice =
    {
        Index = index
        Name = ""
        Uuid = $"MIG-{index}"
        GpuInstance = ValueSome instance
        ComputeInstance = ValueNone
        MemoryTotal = ValueNone
        MemoryUsed = ValueNone
        MemoryFree = ValueNone
        ComputeProcesses = ValueNone
        XidLast = ValueNone
        XidCount = ValueNone
    }

[<Tests>]
let tests =
    testList
        "Jobs.GpuJobFiles"
        [
            testCase "a file is named by its GPU, or by GPU and MIG GPU instance"
            <| fun () ->
                for name, expected in
                    [
                        "0", ValueSome(0, ValueNone, [||])
                        "12", ValueSome(12, ValueNone, [||])
                        "2.0", ValueSome(2, ValueSome 0, [||])
                        "3.10", ValueSome(3, ValueSome 10, [||])
                    ] do
                    Expect.equal (named name) expected name

                for name in
                    [
                        ""
                        "."
                        "0."
                        ".0"
                        "00"
                        "0.1.2"
                        "-1"
                        "+1"
                        " 1"
                        "1 "
                        "gpu0"
                        "0.tmp"
                        ".0.swp"
                        "99999"
                        "99999999999999999999"
                        "٣"
                    ] do
                    Expect.equal (named name) ValueNone $"\"{name}\""

            testCase "each line is a job, each job counts once, and the last line needs no line end"
            <| fun () ->
                Expect.equal (parse "4711\n4712\n"B).Value.Jobs [| "4711"; "4712" |] "two"
                Expect.equal (parse "4711"B).Value.Jobs [| "4711" |] "no line end"
                Expect.equal (parse "\n 4711_3 \r\n\n4711_3\n"B).Value.Jobs [| "4711_3" |] "blanks and repetitions"
                let nothing = parse [||]
                Expect.equal nothing.Value.Jobs [||] "an empty file"
                Expect.equal nothing.FaultCount 0 "which is no fault: the job is over"

            testCase "a line that cannot be an id costs itself, and is told by file and line"
            <| fun () ->
                let parsed = parse (Fixtures.latin1 "4711\n\000\001\002\n\u00ff\u00fe\n4712\n")
                Expect.equal parsed.Value.Jobs [| "4711"; "4712" |] "the good ones"

                Expect.equal
                    (parsed.Faults |> Array.map (fun fault -> fault.Source, fault.Line, fault.Field))
                    [| "/run/jobs/0", 2, "job id"; "/run/jobs/0", 3, "job id" |]
                    "faults"

                let long = parse (Encoding.ASCII.GetBytes(String('x', 129) + "\n" + String('y', 128)))
                Expect.equal long.Value.Jobs [| String('y', 128) |] "128 characters may be"
                Expect.equal long.FaultCount 1 "129 not"

            testCase "sixteen jobs of a GPU are told, and four kilobytes are read"
            <| fun () ->
                let many = parse (Encoding.ASCII.GetBytes(String.concat "\n" [ for i in 1..20 -> string i ]))
                Expect.equal many.Value.Jobs [| for i in 1..16 -> string i |] "the first sixteen"
                Expect.equal many.FaultCount 4 "the others are told of"
                let endless = parse (Array.append "1\n"B (Array.create 1_000_000 0uy))
                Expect.equal endless.Value.Jobs [| "1" |] "what came first"
                Expect.equal endless.FaultCount 2 "the line, and the length"

            testCase "a job is called as the files of its GPUs call it"
            <| fun () ->
                let both = [| file 0 ValueNone [| "4711"; "9" |]; file 1 ValueNone [| "8"; "9" |] |]

                for what, files, job, expected in
                    [
                        "its own number", both, job OwnerKind.Slurm [ "GPU-0"; "GPU-1" ], "4711"
                        "what its GPUs have in common", both, job OwnerKind.Session [ "GPU-0"; "GPU-1" ], "9"
                        "one GPU, two jobs: unknown", both, job OwnerKind.Session [ "GPU-0" ], ""
                        "one GPU, one job", [| file 0 ValueNone [| "7" |] |], job OwnerKind.Session [ "GPU-0" ], "7"
                        "a Slurm job that the file calls otherwise", [| file 0 ValueNone [| "7" |] |], job OwnerKind.Slurm [ "GPU-0" ], "7"
                        "a GPU without a file says nothing",
                        [| file 1 ValueNone [| "7" |] |],
                        job OwnerKind.Session [ "GPU-0"; "GPU-1" ],
                        "7"
                        "nothing in common",
                        [| file 0 ValueNone [| "7" |]; file 1 ValueNone [| "8" |] |],
                        job OwnerKind.Session [ "GPU-0"; "GPU-1" ],
                        ""
                        "another GPU", [| file 5 ValueNone [| "7" |] |], job OwnerKind.Session [ "GPU-0" ], ""
                        "an empty file", [| file 0 ValueNone [||] |], job OwnerKind.Session [ "GPU-0" ], ""
                        "no files", [||], job OwnerKind.Slurm [ "GPU-0" ], ""
                    ] do
                    Expect.equal (GpuJobFiles.schedulerIdOf files [||] job) expected what

            testCase "a MIG instance is found by its GPU instance"
            <| fun () ->
                let gpus =
                    [|
                        { Gpu.OfIndex 0 with
                            MigDevices = ValueSome [| mig 0 7; mig 1 9 |]
                        }
                    |]

                let files =
                    [|
                        file 0 ValueNone [| "whole" |]
                        file 0 (ValueSome 7) [| "a" |]
                        file 0 (ValueSome 9) [| "b" |]
                    |]

                let of' uuid =
                    GpuJobFiles.schedulerIdOf files gpus (job OwnerKind.Session [ uuid ])

                Expect.equal (of' "MIG-0") "a" "instance 7"
                Expect.equal (of' "MIG-1") "b" "instance 9"
                Expect.equal (of' "GPU-0") "whole" "the board"

                Expect.equal
                    (GpuJobFiles.ofInstance files 0 { mig 0 7 with GpuInstance = ValueNone })
                    [||]
                    "an instance whose number is not known"
        ]
