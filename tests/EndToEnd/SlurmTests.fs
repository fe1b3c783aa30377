/// Jobs of a real Slurm that hold scripted GPUs: the agent tells each by its number, user and name.
module Agent.EndToEnd.Tests.SlurmTests

open System
open System.IO
open System.Text.Json
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Agent.TestSupport.AgentProcess
open Agent.EndToEnd.Tests.IngestServer
open Agent.EndToEnd.Tests.SlurmCluster
open Agent.TestSupport.Gpu
open Agent.TestSupport.Gpu.NvmlStub
open Expecto

/// A trainer in the batch script itself, with a loader and a second rank.
let private batch =
    [
        "sleep 150 &"
        "loader=$!"
        "sleep 150 &"
        "echo $$ $! $loader > $PIDS.new"
        "mv $PIDS.new $PIDS"
        "wait"
    ]

/// A trainer in a step of its own, which srun has started.
let private step =
    [
        "exec srun --ntasks=1 sh -c 'sleep 150 & echo $$ $! > $PIDS.new; mv $PIDS.new $PIDS; wait'"
    ]

/// The same machine, its GPUs held by these processes.
let private heldBy (holders: int list) : string =
    holders
    |> List.mapi (fun index pid -> (gpuLines index).Replace("process 4711 ", $"process {pid} "))
    |> String.concat ""

/// What a sample tells of one job.
type private Told =
    {
        Kind: string
        Value: string
        OwnerName: string
        Name: string
        User: string
        Gpus: int list
        Loaders: int
        Processes: int
    }

let private textOf (element: JsonElement) (name: string) : string =
    string (element.GetProperty(name).GetString())

let private jobsOf (request: Request) : Told list =
    use document = JsonDocument.Parse(ReadOnlyMemory request.Body)

    match document.RootElement.GetProperty("sample").TryGetProperty "jobs" with
    | true, jobs when jobs.ValueKind = JsonValueKind.Array ->
        [
            for job in jobs.EnumerateArray() ->
                let owner = job.GetProperty "owner"

                {
                    Kind = textOf owner "kind"
                    Value = textOf owner "value"
                    OwnerName = textOf owner "name"
                    Name = textOf job "name"
                    User = textOf job "user"
                    Gpus =
                        [
                            for gpu in job.GetProperty("gpus").EnumerateArray() -> gpu.GetProperty("gpu_index").GetInt32()
                        ]
                    Loaders = job.GetProperty("loaders").GetInt32()
                    Processes = job.GetProperty("processes").GetInt32()
                }
        ]
    | _ -> []

/// Every duration of the agent is divided by ten: samples come 0.5 s apart.
let private words (server: IngestServer) (library: string) =
    targetOf server.Url
    @ [
        "--interval=5"
        "--timeout=100"
        "--gpu-source=nvml"
        "--nvml-library"
        library
    ]

let private environment =
    ("AI_DASHBOARD_TOKEN", Token)
    :: ("AI_DASHBOARD_TEST_TIME_SCALE", "10")
    :: World.environment ()

/// The jobs of every sample that has two, until one of them is as expected.
let private seen (library: string) (asNobody: bool) (expected: Told list) : unit =
    use server = new IngestServer(stored)

    use agent =
        if asNobody then
            new ProgramProcess(
                "/usr/bin/setpriv",
                [
                    "--reuid=65534"
                    "--regid=65534"
                    "--clear-groups"
                    World.forAnyUser binary.Value
                ]
                @ words server library,
                environment
            )
        else
            new ProgramProcess(binary.Value, words server library, environment)

    eventually (TimeSpan.FromSeconds 60.0) $"{expected}; {agent.Said}" (fun () ->
        match List.tryLast server.Requests with
        | Some newest -> jobsOf newest = expected
        | None -> false)

    agent.Signal SigTerm
    Expect.equal (agent.WaitForEnd patience) 0 $"exit code; {agent.Said}"

    // Whatever was told on the way there, no job ever had another's user, number or GPU.
    for told in server.Requests |> List.collect jobsOf do
        for one in expected do
            if told.User = one.User || told.Value = one.Value then
                Expect.equal (told.Kind, told.Value, told.User, told.Gpus) (one.Kind, one.Value, one.User, one.Gpus) "never mixed"

let private withCluster (tracking: string) (test: string -> Submitted -> Submitted -> unit) : unit =
    World.withDirectory (fun directory ->
        withMachine (machineOf "" 3) (fun machine ->
            use cluster = new Cluster(directory, tracking, [])
            let first = cluster.Submit("games", "train-bert", batch)
            let second = cluster.Submit("www-data", "train-gpt", step)
            // The first user's job holds two GPUs, by two processes, with the other's between them.
            machine.Play(heldBy [ first.Pids[0]; second.Pids[0]; first.Pids[1] ])
            // The agent may run as somebody else.
            World.openFolder machine.Directory |> ignore
            test machine.Library first second))

let private slurmScript (name: string) =
    Path.Combine(Fixtures.root, "packaging", "slurm", name)

/// One of packaging/slurm's scripts with this environment; what it printed.
let private script (name: string) (variables: (string * string) list) : string =
    Tools.succeed variables "sh" [ slurmScript name ]

let private job (submitted: Submitted) user ownerName name gpus loaders processes =
    {
        Kind = "slurm"
        Value = submitted.Id
        OwnerName = ownerName
        Name = name
        User = user
        Gpus = gpus
        Loaders = loaders
        Processes = processes
    }

let tests =
    testList
        "Slurm"
        [
            testCase "without control groups: root knows numbers and names, nobody knows the numbers"
            <| fun () ->
                withCluster "linuxproc" (fun library first second ->
                    seen
                        library
                        false
                        [
                            job first "games" "train-bert" "train-bert" [ 0; 2 ] 1 3
                            job second "www-data" "train-gpt" "train-gpt" [ 1 ] 1 2
                        ]

                    seen
                        library
                        true
                        [
                            job first "games" "" "sh slurm_script" [ 0; 2 ] 1 3
                            job second "www-data" "" "sh" [ 1 ] 1 2
                        ])

            testCase "with control groups, of version 1, nobody knows the numbers too"
            <| fun () ->
                if not (Directory.Exists "/sys/fs/cgroup/freezer") then
                    Skip.always "this machine has no control groups of version 1, which Slurm's plugin needs without systemd"

                withCluster "cgroup" (fun library first second ->
                    seen
                        library
                        true
                        [
                            job first "games" "" "sh slurm_script" [ 0; 2 ] 1 3
                            job second "www-data" "" "sh" [ 1 ] 1 2
                        ])

            testCase "the epilog leaves a report on the job's whole life, and the node in service"
            <| fun () ->
                World.withDirectory (fun directory ->
                    withMachine (machineOf "" 2) (fun machine ->
                        let reports = Path.Combine(directory, "reports")
                        let defaults = Path.Combine(directory, "defaults")
                        let shipped = slurmScript "epilog.sh"
                        let address = $"127.0.0.1:{freePort ()}"

                        File.WriteAllLines(
                            defaults,
                            [
                                "# of the service"
                                "AI_DASHBOARD_HOST=http://h:8000"
                                $"AI_DASHBOARD_LISTEN=\"{address}\""
                            ]
                        )

                        let dotnet =
                            match Environment.GetEnvironmentVariable "DOTNET_ROOT" with
                            | null -> ""
                            | root -> $"export DOTNET_ROOT='{root}'"

                        let epilog =
                            writeProgram
                                directory
                                "epilog"
                                (String.concat
                                    "\n"
                                    [
                                        "PATH=/usr/bin:/bin"
                                        dotnet
                                        $"export PATH AI_DASHBOARD_AGENT='{binary.Value}' AI_DASHBOARD_DEFAULTS='{defaults}' AI_DASHBOARD_JOB_REPORTS='{reports}'"
                                        $"export AI_DASHBOARD_GPU_JOB_DIRECTORY='{directory}/jobs'"
                                        $"exec sh '{shipped}'"
                                    ])

                        use cluster = new Cluster(directory, "linuxproc", [ $"Epilog={epilog}" ])
                        let trainer = cluster.Submit("games", "train-bert", batch)
                        machine.Play(heldBy (List.truncate 2 trainer.Pids))

                        use agent =
                            new ProgramProcess(
                                binary.Value,
                                [
                                    "--interval=5"
                                    "--gpu-source=nvml"
                                    "--nvml-library"
                                    machine.Library
                                    "--listen"
                                    address
                                ],
                                // It sends nothing, so it has no token.
                                List.tail environment
                            )

                        // As a user asks while it runs.
                        let ask (words: string list) =
                            use asked =
                                new ProgramProcess(binary.Value, [ "--why"; "--listen"; address; "--job" ] @ words, World.environment ())

                            asked.WaitForEnd patience, String.concat "\n" asked.Output, asked.Said

                        eventually (TimeSpan.FromSeconds 60.0) $"the job has a share; {agent.Said}" (fun () ->
                            let code, output, _ = ask [ trainer.Id ]
                            code = 0 && output.Contains " % ")

                        let _, output, _ = ask [ trainer.Id ]
                        Expect.stringContains output $"Job {trainer.Id}, train-bert of games: " output
                        Expect.stringContains output "GPU-hours on 2 GPUs of this machine so far." output
                        let _, json, _ = ask [ trainer.Id; "--json" ]
                        use document = JsonDocument.Parse json
                        Expect.equal (textOf document.RootElement "job") trainer.Id "as JSON"

                        let code, _, said = ask [ "99999" ]
                        Expect.equal code 1 "a job that there never was"

                        Expect.stringContains
                            said
                            $"the agent at {address} says: no job 99999 held a GPU while this agent ran, or it ended more than an hour ago"
                            "why not"

                        cluster.Cancel trainer
                        // The file's name ends with the node's.
                        let report () =
                            if Directory.Exists reports then
                                Directory.GetFiles(reports, $"{trainer.Id}.*")
                                |> Array.tryHead
                                |> Option.map File.ReadAllText
                                |> Option.defaultValue ""
                            else
                                ""

                        eventually (TimeSpan.FromSeconds 60.0) "the report" (fun () -> report () <> "")
                        let text = report ()

                        Expect.isTrue
                            (Text.RegularExpressions.Regex.IsMatch(
                                text,
                                $@"^Job {trainer.Id}, train-bert of games: \d+\.\d+ GPU-hours on 2 GPUs of this machine( so far)?\.\n +\d+ %% "
                            ))
                            text

                        eventually (TimeSpan.FromSeconds 60.0) $"the node is idle, not drained: {cluster.State}" (fun () ->
                            cluster.State = "idle")

                        agent.Signal SigTerm
                        Expect.equal (agent.WaitForEnd patience) 0 $"exit code; {agent.Said}"))

            testCase "prolog and epilog keep one file for each GPU, with a line for each of its jobs"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let jobs = Path.Combine(directory, "jobs")

                    let run name id gpus =
                        script
                            name
                            [
                                "AI_DASHBOARD_GPU_JOB_DIRECTORY", jobs
                                "AI_DASHBOARD_DEFAULTS", "/nonexistent"
                                "SLURM_JOB_ID", id
                                "SLURM_JOB_GPUS", gpus
                            ]

                    let files () =
                        [
                            for path in Directory.GetFiles jobs |> Array.sort ->
                                Path.GetFileName path, List.ofArray (File.ReadAllLines path)
                        ]

                    Expect.equal (run "prolog.sh" "11" "0,2") "" "nothing to say"
                    Expect.equal (run "prolog.sh" "12" "2") "" "nothing to say"
                    Expect.equal (run "prolog.sh" "13" "../x") "" "no GPU"
                    Expect.equal (files ()) [ "0", [ "11" ]; "2", [ "11"; "12" ] ] "two jobs"
                    Expect.equal (run "epilog.sh" "11" "") "" "nothing to say"
                    Expect.equal (files ()) [ "2", [ "12" ] ] "one job"
                    Expect.equal (run "epilog.sh" "12" "") "" "nothing to say"
                    Expect.equal (files ()) [] "none")

            testCase "without an agent, or without Slurm's variables, prolog and epilog end with 0 all the same"
            <| fun () ->
                World.withDirectory (fun directory ->
                    let defaults = Path.Combine(directory, "defaults")
                    File.WriteAllText(defaults, $"AI_DASHBOARD_LISTEN=127.0.0.1:{freePort ()}\n")

                    for name in [ "prolog.sh"; "epilog.sh" ] do
                        for variables in
                            [
                                []
                                [ "SLURM_JOB_ID", "11"; "SLURM_JOB_GPUS", "0" ]
                                [ "SLURM_JOB_ID", "x;y"; "SLURM_JOB_GPUS", "0" ]
                            ] do
                            for agent in [ "/nonexistent"; binary.Value ] do
                                script
                                    name
                                    (variables
                                     @ [
                                         "AI_DASHBOARD_AGENT", agent
                                         "AI_DASHBOARD_DEFAULTS", defaults
                                         "AI_DASHBOARD_JOB_REPORTS", Path.Combine(directory, "reports")
                                         "AI_DASHBOARD_GPU_JOB_DIRECTORY", Path.Combine(directory, "jobs")
                                     ])
                                |> ignore

                    Expect.isFalse (Directory.Exists(Path.Combine(directory, "reports"))) "no report")
        ]
    |> testSequenced
