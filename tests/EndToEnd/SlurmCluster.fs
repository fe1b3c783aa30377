/// A Slurm of one node on the loopback: Debian's slurmctld and slurmd, with a configuration, ports and folders of their own.
module Agent.EndToEnd.Tests.SlurmCluster

open System
open System.IO
open System.Net
open System.Net.Sockets
open System.Threading
open Agent.TestSupport
open Agent.TestSupport.Waiting
open Agent.TestSupport.ProgramProcess
open Expecto

/// Starts of daemons, jobs and their ends, each at most.
let private patience = TimeSpan.FromSeconds 60.0

/// The path of one of Slurm's programs; skips the test where it is not installed.
let private program (name: string) : string =
    match
        [ "/usr/sbin"; "/usr/bin"; "/usr/local/sbin"; "/usr/local/bin" ]
        |> List.map (fun place -> Path.Combine(place, name))
        |> List.tryFind File.Exists
    with
    | Some path -> path
    | None ->
        Skip.because $"no {name}"
        failtest "not reached"

/// A port of the loopback that nobody listens at.
let freePort () : int =
    use listener = new TcpListener(IPAddress.Loopback, 0)
    listener.Start()
    (listener.LocalEndpoint :?> IPEndPoint).Port

/// The process's parent, by its status.
let private parentOf (pid: int) : int voption =
    try
        File.ReadAllLines $"/proc/{pid}/status"
        |> Array.tryPick (fun line ->
            if line.StartsWith "PPid:" then
                Some(int (line.Substring 5))
            else
                None)
        |> ValueOption.ofOption
    with :? IOException ->
        ValueNone

let private isStepDaemon (pid: int) : bool =
    try
        File.ReadAllText($"/proc/{pid}/comm").Trim() = "slurmstepd"
    with :? IOException ->
        false

/// What one job runs: its script leaves the numbers of its processes in a file of this name.
type Submitted =
    {
        /// Its number, as Slurm gave it.
        Id: string
        /// The processes that its script wrote down.
        Pids: int list
    }

/// A cluster that tracks processes by one of Slurm's plugins, with further lines in its configuration. Disposing of it ends every process of it, by its
/// number.
type Cluster(directory: string, tracking: string, further: string list) =
    // Slurm names the cgroups after the node where several run on one machine.
    let node = $"agenttest{Environment.ProcessId}{tracking}"
    let pidFolder = World.openFolder (Path.Combine(directory, "pids"))
    let configuration = Path.Combine(directory, "slurm.conf")
    let usesCgroups = (tracking = "cgroup")
    let mutable daemons: ProgramProcess list = []

    let environment = [ "PATH", "/usr/bin:/bin:/usr/sbin:/sbin"; "SLURM_CONF", configuration ]

    let write () =
        for name in [ "state"; "spool" ] do
            Directory.CreateDirectory(Path.Combine(directory, name)) |> ignore

        File.SetUnixFileMode(
            directory,
            UnixFileMode.UserRead
            ||| UnixFileMode.UserWrite
            ||| UnixFileMode.UserExecute
            ||| UnixFileMode.GroupRead
            ||| UnixFileMode.GroupExecute
            ||| UnixFileMode.OtherRead
            ||| UnixFileMode.OtherExecute
        )

        File.WriteAllLines(
            configuration,
            [
                $"ClusterName={node}"
                "SlurmctldHost=localhost(127.0.0.1)"
                $"SlurmctldPort={freePort ()}"
                $"SlurmdPort={freePort ()}"
                // Nobody else may reach a Slurm that believes whatever it is told.
                "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"
                "AuthType=auth/none"
                "CryptoType=crypto/none"
                "SlurmUser=root"
                "SlurmdUser=root"
                $"ProctrackType=proctrack/{tracking}"
                (if usesCgroups then
                     "TaskPlugin=task/cgroup"
                 else
                     "TaskPlugin=task/none")
                "SelectType=select/cons_tres"
                "SelectTypeParameters=CR_Core"
                "JobAcctGatherType=jobacct_gather/none"
                "AccountingStorageType=accounting_storage/none"
                "MpiDefault=none"
                "SwitchType=switch/none"
                // A machine with one CPU runs both jobs all the same.
                "SlurmdParameters=config_overrides"
                "SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000"
                "MailProg=/bin/true"
                "KillWait=1"
                $"StateSaveLocation={directory}/state"
                $"SlurmdSpoolDir={directory}/spool"
                $"SlurmctldPidFile={directory}/slurmctld.pid"
                $"SlurmdPidFile={directory}/slurmd.pid"
                $"SlurmctldLogFile={directory}/slurmctld.log"
                $"SlurmdLogFile={directory}/slurmd.log"
                $"NodeName={node} NodeHostname={Environment.MachineName} NodeAddr=127.0.0.1 CPUs=2"
                $"PartitionName=main Nodes={node} Default=YES State=UP OverSubscribe=FORCE:4"
                yield! further
            ]
        )

        File.WriteAllLines(
            Path.Combine(directory, "cgroup.conf"),
            [
                "CgroupPlugin=cgroup/v1"
                "CgroupAutomount=no"
                "ConstrainCores=no"
                "ConstrainDevices=no"
                "ConstrainRAMSpace=no"
            ]
        )

    /// A daemon that ends by itself should this process be killed.
    let daemon (name: string) (words: string list) =
        let words = [ "--kill-after=5"; "180"; program name; "-D"; "-f"; configuration ] @ words
        daemons <- new ProgramProcess("/usr/bin/timeout", words, environment) :: daemons

    let ask (name: string) (words: string list) : int * string list * string =
        use asked = new ProgramProcess("/usr/bin/timeout", [ "20"; program name ] @ words, environment)

        let code = asked.WaitForEnd patience
        code, asked.Output, asked.Said

    let logs () =
        [ "slurmctld.log"; "slurmd.log" ]
        |> List.map (fun name -> Path.Combine(directory, name))
        |> List.filter File.Exists
        |> List.collect (fun path ->
            File.ReadAllLines path
            |> Array.toList
            |> List.map (fun line -> $"\n{path}: {line}"))
        |> String.concat ""

    /// All processes that jobs wrote down, and the daemons above them.
    let pidsOfJobs () =
        [
            for file in Directory.GetFiles pidFolder do
                for word in File.ReadAllText(file).Split([| ' '; '\n' |], StringSplitOptions.RemoveEmptyEntries) do
                    match Int32.TryParse word with
                    | true, pid when pid > 1 ->
                        pid

                        match parentOf pid with
                        | ValueSome parent when isStepDaemon parent -> parent
                        | _ -> ()
                    | _ -> ()
        ]
        |> List.distinct

    let waitFor (limit: TimeSpan) (condition: unit -> bool) : bool =
        let until = DateTime.UtcNow + limit

        while not (condition ()) && DateTime.UtcNow < until do
            Thread.Sleep 50

        condition ()

    let removeCgroups () =
        let top = $"/sys/fs/cgroup/freezer/slurm_{node}"

        let remove () =
            try
                if Directory.Exists top then
                    for path in
                        Directory.GetDirectories(top, "*", SearchOption.AllDirectories)
                        |> Array.sortByDescending _.Length do
                        Directory.Delete path

                    Directory.Delete top

                true
            with :? IOException ->
                false

        waitFor (TimeSpan.FromSeconds 5.0) remove |> ignore

    let stop () =
        let jobs = pidsOfJobs ()

        // Jobs end by Slurm, in good order; what is left is killed, each by its number.
        let left () = jobs |> List.filter isAlive

        if not jobs.IsEmpty then
            try
                ask "scancel" [ $"--nodelist={node}" ] |> ignore
            with _ ->
                ()

            if not (waitFor (TimeSpan.FromSeconds 10.0) (fun () -> (left ()).IsEmpty)) then
                for pid in left () do
                    sendSignal (pid, 9) |> ignore

        for daemon in daemons do
            if not daemon.HasEnded then
                daemon.Signal SigTerm

        for daemon in daemons do
            waitFor (TimeSpan.FromSeconds 15.0) (fun () -> daemon.HasEnded) |> ignore
            (daemon :> IDisposable).Dispose()

        removeCgroups ()

    do
        // Looked for before anything is started.
        for name in [ "slurmctld"; "slurmd"; "sbatch"; "srun"; "scancel"; "sinfo" ] do
            program name |> ignore

        if not (String.Equals(Environment.UserName, "root", StringComparison.Ordinal)) then
            Skip.because "slurmd needs root to run jobs of several users"

        write ()

        try
            daemon "slurmctld" [ "-c" ]
            daemon "slurmd" [ "-N"; node ]

            eventually patience $"the node is idle; {logs ()}" (fun () ->
                let _, output, _ = ask "sinfo" [ "--noheader"; "--format=%T" ]
                output = [ "idle" ])
        with _ ->
            stop ()
            reraise ()

    /// Submits a script of lines as a user and waits until it has written down its processes. `$PIDS` in them is the file to write to.
    member _.Submit(user: string, name: string, lines: string list) : Submitted =
        let file = Path.Combine(pidFolder, name)
        let script = Path.Combine(directory, $"{name}.sh")
        File.WriteAllLines(script, [ "#!/bin/sh"; $"PIDS={file}"; "export PIDS" ] @ lines)

        let code, output, said =
            ask
                "sbatch"
                [
                    "--parsable"
                    $"--uid={user}"
                    $"--gid={user}"
                    "--ntasks=1"
                    $"--job-name={name}"
                    "--chdir=/"
                    "--output=/dev/null"
                    "--error=/dev/null"
                    script
                ]

        Expect.equal code 0 $"submitted; {said}"

        let written () =
            File.Exists file && File.ReadAllText(file).EndsWith '\n'

        if not (waitFor patience written) then
            failtest $"job {output} has not started; {logs ()}"

        {
            Id = output.Head
            Pids = [ for word in File.ReadAllText(file).Trim().Split ' ' -> int word ]
        }

    /// Ends a job.
    member _.Cancel(job: Submitted) : unit =
        let code, _, said = ask "scancel" [ job.Id ]
        Expect.equal code 0 $"cancelled; {said}"

    /// The state of the node, as sinfo has it.
    member _.State: string =
        let _, output, _ = ask "sinfo" [ "--noheader"; "--format=%T" ]
        String.concat " " output

    interface IDisposable with
        member _.Dispose() = stop ()
