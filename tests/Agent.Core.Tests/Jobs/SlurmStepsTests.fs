/// Slurm jobs without control groups of their own.
module Agent.Core.Tests.Jobs.SlurmStepsTests

open Agent.Core.Jobs
open Agent.Core.Units
open Expecto

let private session (pid: int) : Belonging = Belonging.ofCgroups [||] pid

let private one (pid: int) (parent: int) (uid: int) (name: string) (arguments: string list) : TreeProcess =
    {
        Pid = pid
        Parent = parent
        Group = pid
        Session = pid
        StartedAt = LanguagePrimitives.UInt64WithMeasure(uint64 pid)
        Uid = uid
        Name = name
        Arguments = Array.ofList arguments
        Belonging = session pid
    }

let private daemon (pid: int) (title: string) =
    one pid 1 0 "slurmstepd" [ $"slurmstepd: [{title}]" ]

let private inEnvironment (job: string) (name: string) (one: TreeProcess) =
    { one with
        Belonging = Belonging.withSlurmJob job name one.Belonging
    }

/// The job of each process by its number, with its name behind a slash; empty for no job of Slurm's.
let private jobs (processes: TreeProcess list) : (int * string) list =
    [
        for one in SlurmSteps.assign (Array.ofList processes) ->
            one.Pid,
            match one.Belonging.Owner.Kind with
            | OwnerKind.Slurm -> $"{one.Belonging.Owner.Value}/{one.Belonging.Owner.Name}"
            | _ -> ""
    ]

[<Tests>]
let tests =
    testList
        "Jobs.SlurmSteps"
        [
            for title, job in
                [
                    "slurmstepd: [12.batch]", "12"
                    "slurmstepd: [12.0]", "12"
                    "slurmstepd: [12.extern]", "12"
                    "slurmstepd: [12.interactive]", "12"
                    "slurmstepd: [12.0+1]", "12"
                    // Up to Slurm 17.02 a batch step had no name.
                    "slurmstepd: [12]", "12"
                    "slurmstepd: [12", ""
                    "slurmstepd: [.batch]", ""
                    "slurmstepd: [1x.batch]", ""
                    "slurmstepd", ""
                    "/usr/sbin/slurmstepd infinity", ""
                    "python slurmstepd: [12.batch]", ""
                ] do
                testCase $"a title: {title}"
                <| fun () -> Expect.equal (SlurmSteps.jobOf [| title |]) job "job"

            testCase "no arguments"
            <| fun () -> Expect.equal (SlurmSteps.jobOf [||]) "" "job"

            testCase "all that a step's daemon started is the step's job, by what any user may see"
            <| fun () ->
                Expect.equal
                    (jobs
                        [
                            daemon 10 "4711.batch"
                            one 11 10 1000 "slurm_script" [ "/bin/sh"; "/var/spool/slurmd/job04711/slurm_script" ]
                            one 12 11 1000 "python" [ "python"; "train.py" ]
                            one 13 12 1000 "python" [ "python"; "train.py" ]
                            daemon 20 "4712.0"
                            one 21 20 1001 "python" [ "python"; "other.py" ]
                            one 30 1 1000 "python" [ "python" ]
                        ])
                    [ 10, ""; 11, "4711/"; 12, "4711/"; 13, "4711/"; 20, ""; 21, "4712/"; 30, "" ]
                    "jobs"

            testCase "an environment adds the name, for all of the job's processes; that of another job adds nothing"
            <| fun () ->
                Expect.equal
                    (jobs
                        [
                            daemon 10 "4711.batch"
                            one 11 10 1000 "slurm_script" []
                            one 12 11 1000 "python" [] |> inEnvironment "4711" "bert"
                            one 13 12 1000 "python" []
                            daemon 20 "4712.batch"
                            one 21 20 1000 "python" [] |> inEnvironment "4711" "bert"
                        ])
                    [
                        10, ""
                        11, "4711/bert"
                        12, "4711/bert"
                        13, "4711/bert"
                        20, ""
                        21, "4712/"
                    ]
                    "jobs"

            testCase "where no daemon can be seen the environment counts, and what the process started is the same job"
            <| fun () ->
                Expect.equal
                    (jobs
                        [
                            one 11 1 1000 "bash" []
                            one 12 11 1000 "python" [] |> inEnvironment "4711" "bert"
                            one 13 12 1000 "python" []
                            one 14 12 0 "python" []
                        ])
                    [ 11, ""; 12, "4711/bert"; 13, "4711/bert"; 14, "" ]
                    "jobs, and no other user's process"

            testCase "only root's daemon is believed, and only a parent that is older"
            <| fun () ->
                Expect.equal
                    (jobs
                        [
                            { daemon 10 "4711.batch" with
                                Uid = 1000
                            }
                            one 11 10 1000 "python" []
                            daemon 30 "4712.batch"
                            one 20 30 1000 "python" []
                        ])
                    [ 10, ""; 11, ""; 30, ""; 20, "" ]
                    "no job"

            testCase "a container in a step stays a container"
            <| fun () ->
                let id = String.replicate 4 "8f3c1d2e4b5a6978"

                let inside =
                    { one 11 10 1000 "python" [] with
                        Belonging =
                            { session 11 with
                                Owner =
                                    { (session 11).Owner with
                                        Kind = OwnerKind.Container
                                        Value = id
                                    }
                                Component = id
                            }
                    }

                Expect.equal (jobs [ daemon 10 "4711.batch"; inside ]) [ 10, ""; 11, "" ] "a container"

            testCase "ranks and loaders of a step are one job, with the name that only one of them tells"
            <| fun () ->
                let processes =
                    [|
                        daemon 10 "4711.0"
                        one 11 10 1000 "python" [] |> inEnvironment "4711" "bert"
                        one 12 10 1000 "python" []
                        one 13 11 1000 "python" []
                        daemon 20 "4712.0"
                        one 21 20 1000 "python" []
                    |]

                let holding pid gpu : Holding =
                    {
                        Pid = pid
                        Gpu =
                            {
                                Index = gpu
                                Uuid = $"GPU-{gpu}"
                                Memory = ValueNone
                                SmShare = ValueNone
                            }
                        IsGraphics = false
                    }

                let groups = Grouping.group (SlurmSteps.assign processes) [| holding 11 0; holding 12 1; holding 21 2 |]

                Expect.equal
                    (groups
                     |> Array.map (fun job ->
                         job.Id, job.Owner.Name, job.Processes |> Array.map _.Pid |> Array.sort, Array.length job.Loaders))
                    [|
                        "slurm-4711-1000", "bert", [| 11; 12; 13 |], 1
                        "slurm-4712-1000", "", [| 21 |], 0
                    |]
                    "two jobs"
        ]
