namespace Agent.Core.Jobs

open System
open System.Collections.Generic
open Agent.Core.Units

/// A process, as far as it decides what it belongs to.
[<NoComparison>]
type TreeProcess =
    {
        /// Its number.
        Pid: int
        /// The parent's.
        Parent: int
        /// The process group.
        Group: int
        /// The POSIX session.
        Session: int
        /// When it started, since boot; with its number it is unique.
        StartedAt: uint64<tick>
        /// The real user.
        Uid: int64
        /// What the kernel calls it.
        Name: string
        /// Its arguments; empty when they could not be read.
        Arguments: string[]
        /// Who it belongs to.
        Belonging: Belonging
    }

/// Processes by their parents.
[<RequireQualifiedAccess>]
module ProcessTree =
    /// The deepest tree that is followed.
    [<Literal>]
    let private Deepest = 1000

    let private shells = [| "bash"; "sh"; "dash"; "zsh"; "fish"; "ksh"; "tcsh"; "csh" |]

    /// What keeps sessions, terminals and notebooks, and starts what users ask for.
    let private keepers =
        [|
            "systemd"
            "init"
            "sshd"
            "sshd-session"
            "login"
            "su"
            "sudo"
            "tmux: server"
            "tmux"
            "screen"
            "SCREEN"
            "dtach"
            "abduco"
            "zellij"
            "mosh-server"
            "cron"
            "crond"
            "atd"
            "slurmd"
            "slurmstepd"
            "pbs_mom"
            "condor_master"
            "condor_startd"
            "condor_starter"
            "sge_execd"
            "sge_shepherd"
            "Runner.Listener"
            "Runner.Worker"
            "gitlab-runner"
            "buildkite-agent"
            "nomad"
            "code-server"
            "rserver"
            "containerd-shim"
            "conmon"
            "supervisord"
            "jupyter-lab"
            "jupyter-noteboo"
            "jupyter-server"
            "jupyterhub-sing"
            "gnome-terminal-"
            "konsole"
            "xterm"
            "kitty"
            "alacritty"
            "wezterm-gui"
            "emacs"
            "vim"
            "nvim"
        |]

    /// True when what the parent starts is not its own work: a program that keeps sessions, or a shell whose user controls jobs, which puts each
    /// into a process group of its own. A script's commands are in the script's group.
    let private isBoundary (parent: TreeProcess) (child: TreeProcess) : bool =
        Array.contains parent.Name keepers
        || (Array.contains parent.Name shells && parent.Group <> child.Group)

    /// The processes by their numbers; of several of one number the last counts.
    [<CompiledName "Index">]
    let index (processes: TreeProcess[]) : IReadOnlyDictionary<int, TreeProcess> =
        let table = Dictionary<int, TreeProcess>(processes.Length)

        for one in processes do
            table[one.Pid] <- one

        table

    /// The parent, where it does the same work: it has the same user and the same owner, and did not start it for somebody else. A parent that
    /// started later than its child is another process, which took over the number.
    let private parentOf (table: IReadOnlyDictionary<int, TreeProcess>) (child: TreeProcess) : TreeProcess voption =
        match table.TryGetValue child.Parent with
        | true, parent when
            parent.Pid <> child.Pid
            && parent.Uid = child.Uid
            && parent.StartedAt <= child.StartedAt
            && parent.Belonging.Owner = child.Belonging.Owner
            && (child.Belonging.IsOneJob || not (isBoundary parent child))
            ->
            ValueSome parent
        | _ -> ValueNone

    /// The ancestors that do the same work, the nearest first.
    [<CompiledName "Ancestors">]
    let ancestors (table: IReadOnlyDictionary<int, TreeProcess>) (child: TreeProcess) : TreeProcess[] =
        let above = ResizeArray<TreeProcess>()
        let mutable next = parentOf table child

        while next.IsSome && above.Count < Deepest do
            let parent = next.Value

            // Numbers that were taken over can make a circle.
            if above.Exists(fun known -> known.Pid = parent.Pid) || parent.Pid = child.Pid then
                next <- ValueNone
            else
                above.Add parent
                next <- parentOf table parent

        above.ToArray()

    /// The topmost process that does the same work; the process itself where none stands above it.
    [<CompiledName "Top">]
    let top (table: IReadOnlyDictionary<int, TreeProcess>) (child: TreeProcess) : TreeProcess =
        match ancestors table child with
        | [||] -> child
        | above -> above[above.Length - 1]
