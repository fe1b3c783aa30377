/// Which processes and GPUs are one job.
module Agent.Core.Tests.Jobs.GroupingTests

open Agent.Core.Gpu
open Agent.Core.Jobs
open Agent.Core.Units
open Expecto

let belonging kind value isOneJob : Belonging =
    {
        Owner =
            {
                Kind = kind
                Value = value
                Namespace = ""
                Name = ""
            }
        Component = ""
        IsOneJob = isOneJob
    }

let session = belonging OwnerKind.Unit "session-1.scope" false

/// A process of a login session of user 1000: its number, its parent, its process group and its name.
let one pid parent group name : TreeProcess =
    {
        Pid = pid
        Parent = parent
        Group = group
        Session = 1
        StartedAt = LanguagePrimitives.UInt64WithMeasure(uint64 (100 + pid))
        Uid = 1000
        Name = name
        Arguments = [| name; $"script{pid}.py" |]
        Belonging = session
    }

let holds index pid : Holding =
    {
        Pid = pid
        Gpu =
            {
                Index = index
                Uuid = $"GPU-{index}"
                Memory = ValueSome 10UL<B>
                SmShare = ValueNone
            }
        IsGraphics = false
    }

let private pids (processes: TreeProcess[]) = processes |> Array.map _.Pid

[<Tests>]
let tests =
    testList
        "Jobs.Grouping"
        [
            testCase "ranks of one launcher are one job, loaders are known, and a user's shell is not part of it"
            <| fun () ->
                let processes =
                    [|
                        { one 10 1 10 "systemd" with
                            Uid = 1000
                        }
                        one 20 10 20 "tmux: server"
                        one 21 20 21 "bash"
                        // A script, and what it runs, in its process group.
                        one 30 21 30 "bash"
                        one 31 30 30 "torchrun"
                        // Each rank in a group of its own.
                        one 40 31 40 "python"
                        one 41 31 41 "python"
                        one 50 40 40 "python"
                        one 51 40 40 "python"
                        { one 52 40 40 "python" with
                            Arguments = [| "python"; "-c"; "from multiprocessing.resource_tracker import main" |]
                        }
                        // Another job of the same user in the same session.
                        one 60 21 60 "python"
                        one 61 60 60 "python"
                    |]

                let jobs = Grouping.group processes [| holds 0 40; holds 1 41; holds 2 60 |]
                Expect.equal (jobs |> Array.map _.Id) [| "process-30-130"; "process-60-160" |] "ids"
                Expect.equal (pids jobs[0].Drivers) [| 40; 41 |] "drivers"
                Expect.equal (pids jobs[0].Loaders) [| 50; 51 |] "loaders"
                Expect.equal (pids jobs[0].Others) [| 30; 31; 52 |] "others"
                Expect.equal (jobs[0].Gpus |> Array.map _.Index) [| 0; 1 |] "GPUs"
                Expect.equal (pids jobs[1].Processes) [| 60; 61 |] "the other job"
                Expect.equal (Grouping.nameOf JobDetail.Names jobs[0]) "python script40.py" "name"
                Expect.equal (Grouping.nameOf JobDetail.None jobs[0]) "" "no name"

            testCase "all of a container's processes are one job, whoever started them, and its users are apart"
            <| fun () ->
                let inside = belonging OwnerKind.Container (String.replicate 4 "8f3c1d2e4b5a6978") true
                let inContainer (process': TreeProcess) = { process' with Belonging = inside }

                let processes =
                    [|
                        inContainer (one 10 1 10 "bash")
                        inContainer (one 11 10 11 "python")
                        // Started from outside, by exec.
                        inContainer (one 12 1 12 "python")
                        { inContainer (one 13 10 13 "python") with
                            Uid = 1001
                        }
                        one 14 10 10 "python"
                    |]

                let jobs = Grouping.group processes [| holds 0 11; holds 0 12; holds 1 13 |]
                Expect.equal (jobs |> Array.map _.Id) [| "container-8f3c1d2e4b5a-1000"; "container-8f3c1d2e4b5a-1001" |] "ids"
                Expect.equal (pids jobs[0].Processes) [| 11; 12; 10 |] "the first user's"
                Expect.equal (pids jobs[1].Processes) [| 13 |] "the second's"
                Expect.equal jobs[0].Root.Pid 10 "root"

                Expect.equal
                    jobs[0].Gpus
                    [|
                        {
                            Index = 0
                            Uuid = "GPU-0"
                            Memory = ValueSome 20UL<B>
                            SmShare = ValueNone
                        }
                    |]
                    "memory of both"

            testCase "a parent that started later took over the number"
            <| fun () ->
                let processes =
                    [|
                        { one 10 1 10 "python" with
                            StartedAt = 999UL<tick>
                        }
                        one 11 10 10 "python"
                    |]

                let jobs = Grouping.group processes [| holds 0 11 |]
                Expect.equal (pids jobs[0].Processes) [| 11 |] "alone"

            testCase "numbers that make a circle end"
            <| fun () ->
                let round pid parent =
                    { one pid parent 10 "python" with
                        StartedAt = 5UL<tick>
                    }

                let jobs = Grouping.group [| round 10 12; round 11 10; round 12 11 |] [| holds 0 11 |]
                Expect.isNonEmpty jobs "an answer"

            testCase "a process that is not there holds nothing"
            <| fun () -> Expect.equal (Grouping.group [| one 10 1 10 "python" |] [| holds 0 99 |]) [||] "none"

            testCase "a divided board's processes count at its instances"
            <| fun () ->
                let process' pid : ComputeProcess =
                    {
                        Pid = pid
                        MemoryUsed = ValueSome 5UL<B>
                        Name = ""
                    }

                let instance: MigDevice =
                    {
                        Index = 0
                        Name = ""
                        Uuid = "MIG-a"
                        GpuInstance = ValueNone
                        ComputeInstance = ValueNone
                        MemoryTotal = ValueNone
                        MemoryUsed = ValueNone
                        MemoryFree = ValueNone
                        ComputeProcesses = ValueSome [| process' 7 |]
                        XidLast = ValueNone
                        XidCount = ValueNone
                    }

                let gpu =
                    { Gpu.OfIndex 3 with
                        Uuid = "GPU-3"
                        // 0 is a process outside of the agent's PID namespace.
                        ComputeProcesses = ValueSome [| process' 7; process' 8; process' 0 |]
                        MigDevices = ValueSome [| instance |]
                    }

                Expect.equal
                    (Grouping.holdings [| gpu |]
                     |> Array.map (fun holding -> holding.Pid, holding.Gpu.Index, holding.Gpu.Uuid))
                    [| 8, 3, "GPU-3"; 7, 3, "MIG-a" |]
                    "holdings"

            testCase "who only draws is part of the job that it belongs to, and makes none: a display server is no job"
            <| fun () ->
                let process' pid : ComputeProcess =
                    {
                        Pid = pid
                        MemoryUsed = ValueSome 5UL<B>
                        Name = ""
                    }

                let gpu index computing drawing =
                    { Gpu.OfIndex index with
                        Uuid = $"GPU-{index}"
                        ComputeProcesses = ValueSome(Array.map process' computing)
                        GraphicsProcesses = ValueSome(Array.map process' drawing)
                    }

                Expect.equal (Grouping.holdings [| gpu 0 [||] [| 30 |] |]) [||] "where nobody computes there is nobody"
                let holdings = Grouping.holdings [| gpu 0 [| 10 |] [| 30 |]; gpu 1 [||] [| 11 |] |]

                Expect.equal (holdings |> Array.map (fun one -> one.Pid, one.IsGraphics)) [| 10, false; 30, true; 11, true |] "holdings"

                let jobs =
                    Grouping.group
                        [|
                            one 10 1 10 "python"
                            // A simulator that draws what the trainer learns from.
                            one 11 10 10 "simulator"
                            one 30 1 30 "Xorg"
                        |]
                        holdings

                Expect.equal (jobs |> Array.map (fun job -> pids job.Drivers)) [| [| 10; 11 |] |] "one job"
                Expect.equal (jobs[0].Gpus |> Array.map _.Index) [| 0; 1 |] "and its GPUs"
        ]
