/// Owners by the paths of control groups, as the projects that make them document them, and users.
module Agent.Core.Tests.Jobs.BelongingTests

open System
open Agent.Core.Jobs
open Agent.Core.Proc
open Agent.TestSupport.Fixtures
open Expecto

let private ofText (text: byte[]) =
    Belonging.ofCgroups (want (ProcessCgroup.parse (ReadOnlySpan text))).Value 77

let private ofPath (path: string) = ofText (utf8 $"0::{path}\n")

/// The same in the hierarchies of version 1, beside an empty one of version 2, as where systemd mounts both.
let private ofPathOfVersion1 (path: string) =
    ofText (utf8 $"12:pids:{path}\n4:cpu,cpuacct:{path}\n2:memory:{path}\n1:name=systemd:{path}\n0::/\n")

let private id64 = String.replicate 4 "8f3c1d2e4b5a6978"
let private otherId64 = String.replicate 4 "0a1b2c3d4e5f6071"
let private uid = "2f5c0b9e-7d55-4a0e-9d3b-0c1d7a5e6f10"
let private uidOfSystemd = uid.Replace('-', '_')

[<Tests>]
let tests =
    testList
        "Jobs.Belonging"
        [
            for path, kind, value, isOneJob in
                [
                    // Slurm's plugins cgroup/v1 and cgroup/v2 (slurm.schedmd.com/cgroup_v2.html).
                    "/slurm/uid_1000/job_4711/step_0/task_0", OwnerKind.Slurm, "4711", true
                    "/slurm_node1/uid_1000/job_12/step_batch", OwnerKind.Slurm, "12", true
                    "/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0", OwnerKind.Slurm, "4711", true
                    "/system.slice/node1_slurmstepd.scope/job_9/step_extern", OwnerKind.Slurm, "9", true
                    "/system.slice/slurmstepd.scope/job_9/step_batch/user/task_special", OwnerKind.Slurm, "9", true
                    "/slurm/uid_1000/job_9/step_interactive/task_0", OwnerKind.Slurm, "9", true
                    // The daemons themselves are in no job.
                    "/system.slice/slurmstepd.scope/system", OwnerKind.Unit, "slurmstepd.scope", false
                    // The kubelet with the drivers cgroupfs and systemd; a static pod's UID is a hash; kind's kubelet has its own slice.
                    $"/kubepods/burstable/pod{uid}/{id64}", OwnerKind.Pod, uid, true
                    $"/kubepods/pod{uid}/{id64}", OwnerKind.Pod, uid, true
                    $"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{uidOfSystemd}.slice/crio-{id64}.scope",
                    OwnerKind.Pod,
                    uid,
                    true
                    $"/kubepods.slice/kubepods-pod{uidOfSystemd}.slice/cri-containerd-{id64}.scope", OwnerKind.Pod, uid, true
                    $"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod{uidOfSystemd}.slice/cri-containerd-{id64}.scope",
                    OwnerKind.Pod,
                    uid,
                    true
                    $"/kubepods/burstable/pod0123456789abcdef0123456789abcdef/{id64}",
                    OwnerKind.Pod,
                    "0123456789abcdef0123456789abcdef",
                    true
                    $"/kubepods/besteffort/pod{uid}/crio-{id64}", OwnerKind.Pod, uid, true
                    $"/kubepods/burstable/pod{uid}/cri-containerd-{id64}", OwnerKind.Pod, uid, true
                    $"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uidOfSystemd}.slice/docker-{id64}.scope",
                    OwnerKind.Pod,
                    uid,
                    true
                    $"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uidOfSystemd}.slice/crio-{id64}.scope/container",
                    OwnerKind.Pod,
                    uid,
                    true
                    // containerd told to use cgroupfs, under a kubelet that uses systemd.
                    $"/system.slice/containerd.service/kubepods-burstable-pod{uidOfSystemd}.slice:cri-containerd:{id64}",
                    OwnerKind.Pod,
                    uid,
                    true
                    // In a container of its own, which sees the host's paths from where it stands.
                    $"/../../kubepods-besteffort.slice/kubepods-besteffort-pod{uidOfSystemd}.slice/cri-containerd-{id64}.scope",
                    OwnerKind.Pod,
                    uid,
                    true
                    // Docker with systemd and cgroupfs, containerd, CRI-O and Podman outside of Kubernetes, LXC and LXD.
                    $"/system.slice/docker-{id64}.scope", OwnerKind.Container, id64, true
                    $"/docker/{id64}", OwnerKind.Container, id64, true
                    $"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-{id64}.scope", OwnerKind.Container, id64, true
                    $"/training.slice/docker-{id64}.scope", OwnerKind.Container, id64, true
                    $"/training/{id64}", OwnerKind.Container, id64, true
                    $"/../../docker/{id64}/inner", OwnerKind.Container, id64, true
                    $"/system.slice/nerdctl-{id64}.scope", OwnerKind.Container, id64, true
                    $"/system.slice:cri-containerd:{id64}", OwnerKind.Container, id64, true
                    $"/default/{id64}", OwnerKind.Container, id64, true
                    $"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-{id64}.scope", OwnerKind.Container, id64, true
                    $"/system.slice/crio-{id64}.scope", OwnerKind.Container, id64, true
                    $"/machine.slice/libpod-{id64}.scope/container", OwnerKind.Container, id64, true
                    $"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{id64}.scope", OwnerKind.Container, id64, true
                    $"/libpod_parent/libpod-{id64}", OwnerKind.Container, id64, true
                    // A pod of Podman's has an id of the same form.
                    $"/machine.slice/machine-libpod_pod_{otherId64}.slice/libpod-{id64}.scope/container", OwnerKind.Container, id64, true
                    $"/user.slice/user-1000.slice/user@1000.service/user.slice/user-libpod_pod_{otherId64}.slice/libpod-{id64}.scope",
                    OwnerKind.Container,
                    id64,
                    true
                    "/lxc/101/ns", OwnerKind.Container, "101", true
                    "/lxc/trainer/system.slice/cron.service", OwnerKind.Container, "trainer", true
                    "/lxc.payload.trainer/init.scope", OwnerKind.Container, "trainer", true
                    "/lxc.payload/trainer", OwnerKind.Container, "trainer", true
                    "/lxc.payload.trainer/user.slice/user-1000.slice/session-2.scope", OwnerKind.Container, "trainer", true
                    // The program that watches a container is not in it.
                    $"/machine.slice/libpod-conmon-{id64}.scope", OwnerKind.Unit, $"libpod-conmon-{id64}.scope", true
                    $"/system.slice/crio-conmon-{id64}.scope", OwnerKind.Unit, $"crio-conmon-{id64}.scope", true
                    "/lxc.monitor.trainer", OwnerKind.Session, "77", false
                    "/lxc.monitor/trainer", OwnerKind.Session, "77", false
                    "/libpod_parent/conmon", OwnerKind.Session, "77", false
                    "/system.slice/containerd.service", OwnerKind.Unit, "containerd.service", false
                    "/system.slice/triton.service", OwnerKind.Unit, "triton.service", true
                    "/user.slice/user-1000.slice/session-3.scope", OwnerKind.Unit, "session-3.scope", false
                    "/system.slice/run-r1234.scope", OwnerKind.Unit, "run-r1234.scope", true
                    "/user.slice/user-1000.slice/user@1000.service/app.slice/app-org.kde.konsole-1.scope",
                    OwnerKind.Unit,
                    "app-org.kde.konsole-1.scope",
                    false
                    "/system.slice/slurmd.service", OwnerKind.Unit, "slurmd.service", false
                    // Anybody may call a unit of their own so.
                    "/user.slice/user-1000.slice/user@1000.service/app.slice/slurm-evil.scope/job_79",
                    OwnerKind.Unit,
                    "slurm-evil.scope",
                    true
                    "/user.slice/user-1000.slice/user@1000.service/slurmstepd.scope/job_79", OwnerKind.Unit, "slurmstepd.scope", false
                    // Batch systems whose jobs have groups of their own.
                    "/pbs_jobs.service/jobid/1234.server", OwnerKind.Unit, "pbs_jobs.service/1234.server", true
                    "/pbs.slice/pbs-1234.server.slice", OwnerKind.Unit, "pbs.slice/pbs-1234.server.slice", true
                    "/system.slice/condor.service/condor_slot1_2@h", OwnerKind.Unit, "condor.service/condor_slot1_2@h", true
                    "/htcondor/condor_var_lib_condor_execute_slot1_1@host",
                    OwnerKind.Unit,
                    "htcondor/condor_var_lib_condor_execute_slot1_1@host",
                    true
                    "/lsf/cluster1/job.1234.5678.1700000000", OwnerKind.Unit, "lsf/job.1234.5678.1700000000", true
                    "/system.slice/condor.service", OwnerKind.Unit, "condor.service", false
                    "/system.slice/ray.service", OwnerKind.Unit, "ray.service", false
                    "/system.slice/tmux.service", OwnerKind.Unit, "tmux.service", false
                    "/system.slice/code-server@ana.service", OwnerKind.Unit, "code-server@ana.service", false
                    "/system.slice/a\027b\u202ec.service", OwnerKind.Unit, "a?b?c.service", true
                    "/", OwnerKind.Session, "77", false
                    "/some/thing/job_5", OwnerKind.Session, "77", false
                ] do
                testCase path
                <| fun () ->
                    for version, found in [ 2, ofPath path; 1, ofPathOfVersion1 path ] do
                        Expect.equal
                            (found.Owner.Kind, found.Owner.Value, found.IsOneJob)
                            (kind, value, isOneJob)
                            $"owner, in version {version}"

            testCase "of hierarchies of version 1 those that name a job beat the daemon's"
            <| fun () ->
                let found = ofText (bytes "jobs/cgroup-v1")
                Expect.equal (found.Owner.Kind, found.Owner.Value) (OwnerKind.Slurm, "4711") "owner"
                Expect.equal (Belonging.level found "/slurm/uid_1000/job_4711/step_0/task_0") "/slurm/uid_1000/job_4711" "level"
                Expect.equal (Belonging.level found "/system.slice/slurmd.service") "/system.slice/slurmd.service" "not in it"

            testCase "a pod has the name that its directory of logs has"
            <| fun () ->
                let found = ofText (bytes "jobs/cgroup-v2")
                let named = Belonging.withPodName [| "kube-system_dns_x"; $"ml_train-0_{uid}"; "torn" |] found
                Expect.equal (named.Owner.Namespace, named.Owner.Name) ("ml", "train-0") "named"
                Expect.equal (Belonging.withPodName [||] found) found "without directories"

            testCase "where Slurm keeps no cgroups a job is known by its environment"
            <| fun () ->
                let found = ofPath "/system.slice/slurmd.service" |> Belonging.withSlurmJob "4711" "bert"

                Expect.equal
                    (found.Owner.Kind, found.Owner.Value, found.Owner.Name, found.IsOneJob)
                    (OwnerKind.Slurm, "4711", "bert", true)
                    "Slurm"

                let pod = ofText (bytes "jobs/cgroup-v2")
                Expect.equal (Belonging.withSlurmJob "4711" "bert" pod) pod "a pod stays one"
                Expect.equal (Belonging.withSlurmJob "x" "" (ofPath "/")) (ofPath "/") "no number"

            testCase "the names of users; the first of a number counts"
            <| fun () ->
                let users = (want (Users.parse (ReadOnlySpan(bytes "jobs/passwd")))).Value
                Expect.equal (Users.nameOf users 0) "root" "root"
                Expect.equal (Users.nameOf users 1000) "ana" "the first"
                Expect.equal (Users.nameOf users 1001) "bo" "bo"
                Expect.equal (Users.nameOf users 5) "" "nobody"
                let upper = (want (Users.parse (ReadOnlySpan "nfsnobody:x:4294967294:4294967294::/:\n"B))).Value
                Expect.equal (Users.nameOf upper 4294967294L) "nfsnobody" "the number has 32 bits"

            testCase "a line of passwd that does not read costs its user"
            <| fun () ->
                let parsed = want (Users.parse (ReadOnlySpan "a:x:1:\nb:x:two:\nc\nd:x:4:4\n"B))
                Expect.equal (parsed.Value |> Array.map _.Name) [| "a"; "d" |] "the others"
                Expect.equal (parsed.Faults |> Array.map (fun fault -> fault.Line, fault.Field)) [| 2, "uid"; 3, "name" |] "faults"
        ]
