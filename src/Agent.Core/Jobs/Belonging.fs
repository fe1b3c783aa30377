namespace Agent.Core.Jobs

open System
open Agent.Core.Proc

/// Who a process belongs to, and where that can be seen.
[<NoComparison>]
type Belonging =
    {
        /// The owner.
        Owner: Owner
        /// The component of the cgroup's path that names it; empty for a session.
        Component: string
        /// True when all of the owner's processes serve one purpose: a Slurm job, a pod, a container, a service. False for what a user may start
        /// anything in: a login session, a terminal, cron.
        IsOneJob: bool
    }

/// Owners, from the paths of control groups in all the forms that are met.
[<RequireQualifiedAccess>]
module Belonging =
    let private isDigits (text: string) =
        text <> "" && text |> Seq.forall Char.IsAsciiDigit

    let private startsWith (beginning: string) (text: string) =
        text.StartsWith(beginning, StringComparison.Ordinal)

    let private endsWith (ending: string) (text: string) =
        text.EndsWith(ending, StringComparison.Ordinal)

    let private owner kind value name : Owner =
        {
            Kind = kind
            Value = OneLine.name value
            Namespace = ""
            Name = OneLine.name name
        }

    let private belonging kind value name place isOneJob =
        Some
            {
                Owner = owner kind value name
                Component = place
                IsOneJob = isOneJob
            }

    /// `job_N` below a component of Slurm's: `/slurm/uid_1000/job_7` of version 1, `/system.slice/slurmstepd.scope/job_7` of version 2, the
    /// first with the node's name behind it or before it where several run on one machine.
    let private slurm (parts: string[]) : Belonging option =
        let isRoot place (part: string) =
            let above = if place = 0 then "" else parts[place - 1]
            let isTop = above = "" || above = ".."

            // A user may call a unit of their own anything.
            (isTop && (part = "slurm" || startsWith "slurm_" part))
            || (endsWith "slurmstepd.scope" part
                && (isTop || (above = "system.slice" && not (Array.contains "user.slice" parts))))

        match parts |> Array.mapi isRoot |> Array.tryFindIndex id with
        | None -> None
        | Some above ->
            parts
            |> Array.skip (above + 1)
            |> Array.tryFind (fun part -> startsWith "job_" part && isDigits (part.Substring 4))
            |> Option.bind (fun part -> belonging OwnerKind.Slurm (part.Substring 4) "" part true)

    let private isUid (text: string) =
        text.Length >= 32
        && text |> Seq.forall (fun c -> Char.IsAsciiHexDigit c || c = '-' || c = '_')

    /// `/kubepods/burstable/pod<uid>/…` with cgroupfs, `kubepods-burstable-pod<uid with _>.slice` with systemd, `kubelet-` before it in kind, and
    /// `:cri-containerd:<id>` behind it where only containerd uses cgroupfs.
    let private pod (parts: string[]) : Belonging option =
        if
            not (
                parts
                |> Array.exists (fun part -> part.Contains("kubepods", StringComparison.Ordinal))
            )
        then
            None
        else
            parts
            |> Array.tryPick (fun part ->
                let slice = part.Split(':', 2)[0]

                let name =
                    if endsWith ".slice" slice then
                        slice.Substring(0, slice.Length - ".slice".Length)
                    else
                        slice

                let at =
                    if startsWith "pod" name then
                        0
                    else
                        name.LastIndexOf("-pod", StringComparison.Ordinal) + 1

                let uid =
                    if at >= 0 && startsWith "pod" (name.Substring at) then
                        name.Substring(at + 3)
                    else
                        ""

                if isUid uid then
                    belonging OwnerKind.Pod (uid.Replace('_', '-')) "" part true
                else
                    None)

    /// The length of a container's id in hexadecimal digits.
    [<Literal>]
    let private IdLength = 64

    /// The id in a component such as `docker-<id>.scope`, `cri-containerd-<id>.scope`, `libpod-<id>`, `slice:cri-containerd:<id>` or the id alone.
    let private idIn (part: string) : string =
        let mutable first = 0
        let mutable found = ""

        while found = "" && first + IdLength <= part.Length do
            let mutable length = 0

            while first + length < part.Length && Char.IsAsciiHexDigit part[first + length] do
                length <- length + 1

            if length = IdLength then
                found <- part.Substring(first, IdLength)

            first <- first + length + 1

        found

    /// `/lxc/<name>`, `/lxc.payload/<name>` and `/lxc.payload.<name>`.
    let private lxc (parts: string[]) : Belonging option =
        parts
        |> Array.mapi (fun place part -> place, part)
        |> Array.tryPick (fun (place, part) ->
            if startsWith "lxc.payload." part && part.Length > "lxc.payload.".Length then
                let name = part.Substring "lxc.payload.".Length
                belonging OwnerKind.Container name name part true
            elif (part = "lxc" || part = "lxc.payload") && place + 1 < parts.Length then
                belonging OwnerKind.Container parts[place + 1] parts[place + 1] parts[place + 1] true
            else
                None)

    /// `libpod-conmon-<id>.scope` holds the program that watches the container, and a pod of Podman's is no container.
    let private container (parts: string[]) : Belonging option =
        parts
        |> Array.tryPick (fun part ->
            match idIn part with
            | "" -> None
            | _ when
                part.Contains("conmon", StringComparison.Ordinal)
                || part.Contains("libpod_pod_", StringComparison.Ordinal)
                ->
                None
            | id -> belonging OwnerKind.Container id "" part true)
        |> Option.orElseWith (fun () -> lxc parts)

    /// Units in which a user may start anything, by how their names begin.
    let private manifold =
        [|
            "session-"
            "user@"
            "init.scope"
            "app-"
            "vte-spawn-"
            "tmux-spawn-"
            "ssh.service"
            "sshd.service"
            "ssh@"
            "sshd@"
            "cron.service"
            "crond.service"
            "atd.service"
            "getty@"
            "serial-getty@"
            "slurmd.service"
            "slurmstepd.scope"
            "gdm"
            "sddm"
            "lightdm"
            "display-manager"
            "jupyter"
            "docker.service"
            "containerd.service"
            "supervisor"
            "ray.service"
            "ray@"
            "tmux"
            "screen"
            "code-server"
            "rstudio-server"
            "vscode"
            "gitlab-runner"
            "actions.runner"
            "actions-runner"
            "github-runner"
            "buildkite-agent"
            "jenkins"
            "teamcity"
            "condor"
            "pbs"
            "lsf"
            "sge"
            "nomad"
        |]

    /// Batch systems and runners that give each job a group of its own below theirs, by how their units' names begin.
    let private launchers =
        [|
            "pbs"
            "condor"
            "lsf"
            "sge"
            "nomad"
            "gitlab-runner"
            "actions.runner"
            "actions-runner"
            "github-runner"
            "buildkite-agent"
            "jenkins"
        |]

    /// A batch job's own group: `/pbs_jobs.service/jobid/ID`, `/pbs.slice/pbs-ID.slice`, `/…/condor.service/condor_slot1_1@host`,
    /// `/htcondor/condor_…slot1_1@host`, `/lsf/cluster/job.ID.…`, and what stands below other launchers' units.
    let private batch (parts: string[]) : Belonging option =
        let below place = Array.skip (place + 1) parts

        let isLauncher (part: string) =
            endsWith ".service" part
            && launchers |> Array.exists (fun beginning -> startsWith beginning part)

        let own (above: string) (part: string) =
            belonging OwnerKind.Unit $"{above}/{part}" "" part true

        match parts |> Array.tryFindIndex isLauncher with
        | Some place ->
            match below place with
            | [||]
            | [| "jobid" |] -> None
            | rest when rest[0] = "jobid" -> own parts[place] rest[1]
            // systemd itself makes these for the launcher's own processes.
            | rest when rest[0] = "init.scope" || rest[0] = "supervisor" -> None
            | rest -> own parts[place] rest[0]
        | None ->
            match
                parts
                |> Array.tryFindIndex (fun part -> part = "pbs.slice" || part = "htcondor" || part = "lsf")
            with
            | Some place ->
                below place
                |> Array.tryFind (fun part ->
                    (startsWith "pbs-" part && endsWith ".slice" part)
                    || (startsWith "condor_" part && part.Contains("slot", StringComparison.Ordinal))
                    || startsWith "job." part)
                |> Option.bind (own parts[place])
            | None -> None

    let private unit (parts: string[]) : Belonging option =
        parts
        |> Array.tryFindBack (fun part -> endsWith ".service" part || endsWith ".scope" part)
        |> Option.bind (fun part ->
            let isOneJob = not (manifold |> Array.exists (fun beginning -> startsWith beginning part))
            belonging OwnerKind.Unit part "" part isOneJob)

    /// The owner by the paths of all hierarchies that a process is in; the kinds in the order of `OwnerKind`, each looked for everywhere,
    /// because a process may be in its job's cgroup in some hierarchies of version 1 and in the daemon's in others. `session` is the POSIX
    /// session, for a process whose paths name nobody.
    [<CompiledName "Of">]
    let ofCgroups (memberships: ProcessCgroup.Membership[]) (session: int) : Belonging =
        // Those that systemd keeps come first: the others may be cut short.
        let rank (membership: ProcessCgroup.Membership) =
            if membership.Controllers = "name=systemd" then 0
            elif membership.IsUnified then 1
            else 2

        let paths =
            memberships
            |> Array.sortBy rank
            |> Array.map (fun membership -> membership.Path.Split('/', StringSplitOptions.RemoveEmptyEntries))

        [| slurm; pod; container; batch; unit |]
        |> Array.tryPick (fun kind -> Array.tryPick kind paths)
        |> Option.defaultWith (fun () ->
            {
                Owner = owner OwnerKind.Session (string session) ""
                Component = ""
                IsOneJob = false
            })

    /// The same process when its environment names a job of Slurm's, as where Slurm keeps no cgroups.
    [<CompiledName "WithSlurmJob">]
    let withSlurmJob (job: string) (name: string) (belonging: Belonging) : Belonging =
        match belonging.Owner.Kind with
        // A name taken along from another job's environment is not this one's.
        | OwnerKind.Slurm when job = belonging.Owner.Value ->
            { belonging with
                Owner =
                    { belonging.Owner with
                        Name = OneLine.name name
                    }
            }
        | OwnerKind.Unit
        | OwnerKind.Session when isDigits job ->
            {
                Owner = owner OwnerKind.Slurm job name
                Component = ""
                IsOneJob = true
            }
        | _ -> belonging

    /// The part of a cgroup's path that is the owner's, whatever its processes made below it: up to the component that names the owner. The
    /// whole path where that is not in it.
    [<CompiledName "Level">]
    let level (belonging: Belonging) (path: string) : string =
        let parts = path.Split('/', StringSplitOptions.RemoveEmptyEntries)

        match Array.tryFindIndex ((=) belonging.Component) parts with
        | Some place when belonging.Component <> "" -> "/" + String.Join('/', Array.truncate (place + 1) parts)
        | _ -> path

    /// The namespace and the name of a pod, by the names of the directories in /var/log/pods: `<namespace>_<name>_<uid>`.
    [<CompiledName "WithPodName">]
    let withPodName (directories: string[]) (belonging: Belonging) : Belonging =
        if belonging.Owner.Kind <> OwnerKind.Pod then
            belonging
        else
            directories
            |> Array.tryPick (fun directory ->
                match directory.Split '_' with
                // Neither of the three may have an underscore.
                | [| space; name; uid |] when uid = belonging.Owner.Value ->
                    Some
                        { belonging with
                            Owner =
                                { belonging.Owner with
                                    Namespace = OneLine.name space
                                    Name = OneLine.name name
                                }
                        }
                | _ -> None)
            |> Option.defaultValue belonging
