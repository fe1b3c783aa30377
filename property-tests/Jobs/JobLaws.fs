/// Laws of jobs: who belongs together, what is shown, and what two looks say.
module Agent.PropertyTests.Jobs.JobLaws

open System
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

// ---- grouping ---------------------------------------------------------------------------------------------------------

let private belonging: Gen<Belonging> =
    Gen.elements
        [
            OwnerKind.Session, "1", false
            OwnerKind.Unit, "session-1.scope", false
            OwnerKind.Unit, "triton.service", true
            OwnerKind.Slurm, "7", true
            OwnerKind.Container, String.replicate 64 "a", true
        ]
    |> Gen.map (fun (kind, value, isOneJob) ->
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
        })

/// Any processes: parents that are not there, that are circles, that started later.
let private processes: Gen<TreeProcess[]> =
    upTo
        14
        (gen {
            let! pid = Gen.choose (1, 14)
            let! parent = Gen.choose (0, 14)
            let! group = Gen.choose (1, 3)
            let! start = Gen.choose (0, 5)
            let! uid = Gen.elements [ 0; 1000; 1001 ]
            let! name = Gen.elements [ "python"; "bash"; "sshd"; "tmux: server"; "torchrun" ]
            let! belonging = belonging

            return
                {
                    Pid = pid
                    Parent = parent
                    Group = group
                    Session = 1
                    StartedAt = LanguagePrimitives.UInt64WithMeasure(uint64 start)
                    Uid = uid
                    Name = name
                    Arguments = [| name |]
                    Belonging = belonging
                }
        })
    |> Gen.map (Array.distinctBy _.Pid)

let private holdings: Gen<Holding[]> =
    upTo
        5
        (Gen.zip (Gen.choose (1, 16)) (Gen.choose (0, 3))
         |> Gen.map (fun (pid, gpu) ->
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
             }))

let private machine = Gen.zip processes holdings

let private pids (job: JobGroup) =
    job.Processes |> Array.map _.Pid |> Array.sort

let private shape (jobs: JobGroup[]) =
    jobs |> Array.map (fun job -> job.Id, job.Uid, job.Root.Pid, pids job, job.Gpus)

// ---- command lines ----------------------------------------------------------------------------------------------------

/// A value that stands nowhere else.
let private secret: Gen<string> =
    Gen.choose (100_000, 999_999) |> Gen.map (fun number -> $"Zq{number}Zq")

let private secretName =
    Gen.elements
        [
            "token"
            "hf-token"
            "api_key"
            "password"
            "db-password"
            "clientSecret"
            "secret_access_key"
            "credentials"
            "AWS_SESSION_TOKEN"
            "wandbApiKey"
            "auth.key"
        ]

/// Arguments with one secret among them.
let private confidential: Gen<string * string[]> =
    gen {
        let! value = secret
        let! name = secretName
        let! tail = Gen.elements [ ""; "-x"; "/y"; "@z"; "=w"; " v" ]
        let whole = value + tail

        let! given =
            Gen.elements
                [
                    [| $"--{name}"; whole |]
                    [| $"--{name}={whole}" |]
                    [| $"{name}={whole}" |]
                    [| $"export {name}={whole}; python x" |]
                    [| $"python x --{name} {whole} --lr 1" |]
                    [| $"{{\"a\": 1, \"{name}\": \"{whole}\"}}" |]
                    [| $"--config={{'{name}':'{whole}'}}" |]
                    [| $"https://host/path?a=b&{name}={whole}" |]
                    [| $"https://user:{value}@host/path" |]
                    [| $"--db=postgres://user:{value}/x@host:5432/path" |]
                    [| $"ftp://{value}@host" |]
                ]

        let! before = upTo 3 (Gen.elements [ "python"; "train.py"; "--lr"; "0.1"; "--tokenizer"; "gpt2"; "-u" ])
        let! after = upTo 3 (Gen.elements [ "--seed"; "1"; "data" ])
        return value, Array.concat [| before; given; after |]
    }

// ---- looks ------------------------------------------------------------------------------------------------------------

let private thread tid (counts: uint64[]) : ThreadCounters =
    {
        Tid = tid
        Name = "python"
        StartedAt = 1UL<tick>
        CpuTime = LanguagePrimitives.UInt64WithMeasure counts[0]
        Times =
            ValueSome
                {
                    RunTime = LanguagePrimitives.UInt64WithMeasure counts[1]
                    WaitTime = LanguagePrimitives.UInt64WithMeasure counts[2]
                    Slices = 1UL
                }
        Looks = int (counts[3] % 10UL)
        Blocked = int (min (counts[3] % 10UL) (counts[4] % 10UL))
    }

let private group: JobGroup =
    let one pid parent : TreeProcess =
        {
            Pid = pid
            Parent = parent
            Group = 1
            Session = 1
            StartedAt = 1UL<tick>
            Uid = 1000
            Name = "python"
            Arguments = [| "python" |]
            Belonging =
                {
                    Owner =
                        {
                            Kind = OwnerKind.Session
                            Value = "1"
                            Namespace = ""
                            Name = ""
                        }
                    Component = ""
                    IsOneJob = false
                }
        }

    let holding: Holding =
        {
            Pid = 1
            Gpu =
                {
                    Index = 0
                    Uuid = ""
                    Memory = ValueNone
                    SmShare = ValueNone
                }
            IsGraphics = false
        }

    (Grouping.group [| one 1 0; one 2 1; one 3 1 |] [| holding |])[0]

let private process' pid : Gen<ProcessCounters> =
    gen {
        let! counts = Gen.arrayOfLength 6 counter
        let! watched = upTo 3 (Gen.arrayOfLength 6 counter)

        return
            {
                Pid = pid
                StartedAt = 1UL<tick>
                State = 'S'
                Threads = 3
                CpuTime = LanguagePrimitives.UInt64WithMeasure counts[5]
                ChildTime = LanguagePrimitives.UInt64WithMeasure counts[0]
                MajorFaults = counts[4]
                Resident = LanguagePrimitives.UInt64WithMeasure counts[3]
                Io =
                    ValueSome
                        {
                            Read = LanguagePrimitives.UInt64WithMeasure counts[2]
                            Written = LanguagePrimitives.UInt64WithMeasure counts[1]
                        }
                Main = thread pid counts
                Watched = watched |> Array.mapi (fun i counts -> thread (pid * 100 + i) counts)
            }
    }

let private emptyHost: HostCounters =
    {
        Stat = ValueNone
        Runnable = ValueNone
        CpuPressure = ValueNone
        IoPressure = ValueNone
        MemoryPressure = ValueNone
        Memory = ValueNone
        Arc = ValueNone
        Vm = ValueNone
        Disks = [||]
        Interfaces = [||]
        Speeds = [||]
        Ports = [||]
        PortSpeeds = [||]
        NetworkMounts = [||]
    }

let private look: Gen<Look> =
    gen {
        let! seconds = Gen.choose (0, 1000)
        let! processes = Gen.arrayOfLength 3 (Gen.choose (1, 3)) |> Gen.map Array.distinct
        let! counters = processes |> Array.map process' |> Gen.sequenceToArray
        let! hasJob = Gen.elements [ true; true; true; false ]

        return
            {
                At = DateTimeOffset.UnixEpoch
                Clock = TimeSpan.FromSeconds(float seconds)
                PageSize = 4096UL<B / page>
                Host = emptyHost
                Devices = Devices.unknown
                Gpus = [||]
                DiskNames = [||]
                InterfaceNames = [||]
                Work = [||]
                LostGpus = [||]
                DriverProblem = ""
                Detail = JobDetail.Names
                Jobs =
                    if hasJob then
                        [|
                            {
                                Group = group
                                User = ""
                                Processes = counters
                                Cgroup = CgroupCounters.Unknown
                                Received = ValueNone
                            }
                        |]
                    else
                        [||]
            }
    }

let private word: Gen<string> =
    gen {
        let! letters = Gen.arrayOfLength 9 (Gen.elements [ 'q'; 'w'; 'z'; '4'; '7' ])
        return "Q" + String letters
    }

/// An interpreter that is given code, in any bundling, and words behind it.
let private coded: Gen<string * string[]> =
    gen {
        let! secret = word

        let! programs, switches, letters =
            Gen.elements
                [
                    [ "python3"; "/usr/bin/python"; "pypy" ], "uBEIOSsdq", "c"
                    [ "bash"; "sh"; "/bin/zsh"; "dash" ], "luxevnif", "c"
                    [ "perl" ], "wnplaTt", "eE"
                    [ "ruby" ], "wnplaS", "e"
                    [ "node" ], "i", "ep"
                    [ "julia" ], "qi", "eE"
                    [ "Rscript" ], "", "e"
                ]

        let! program = Gen.elements programs
        let! bundled = upTo 3 (Gen.elements (List.ofSeq (switches + letters)))
        let! letter = Gen.elements (List.ofSeq letters)
        let! isAttached = Gen.elements [ true; false ]
        let option = $"-{String bundled}{letter}"

        let code =
            [|
                if isAttached then
                    option + secret
                else
                    option
                    secret
            |]

        return secret, Array.concat [| [| program |]; code; [| secret; "--x"; secret |] |]
    }

/// A secret behind a name, in the forms in which names and values are given.
let private spoken: Gen<string * string[]> =
    gen {
        let! secret = word

        let! name =
            Gen.elements
                [
                    "token"
                    "api_key"
                    "db-password"
                    "hubToken"
                    "API_SECRET"
                    "pat"
                    "creds"
                    "auth"
                ]

        let! dashes = Gen.elements [ "--"; "-"; "" ]
        let! gap = Gen.elements [ " "; "="; ": "; "\t"; " \\\n "; " = "; "\", \""; "\\\": \\\"" ]

        let! words =
            Gen.elements
                [
                    [| dashes + name; secret |]
                    [| dashes + name; "="; secret |]
                    [| dashes + name + "="; secret |]
                    [| "model.hub." + name; secret |]
                    [| "--" + name; "--" + secret |]
                    [| "--args=--x 1 " + dashes + name + gap + secret |]
                    [| dashes + name + gap + secret |]
                    [| "ana:" + secret + "@host:5432/x" |]
                    [| "-u"; "ana:" + secret |]
                    [| "<" + name + ">" + secret + "</" + name + ">" |]
                    [| "Authorization:"; "Bearer"; secret |]
                ]

        let! before = upTo 2 (Gen.elements [ "train.py"; "--lr"; "0.1"; "-x"; "--use-key"; "a b" ])
        return secret, Array.concat [| [| "python3" |]; before; words |]
    }

let private isShare (value: float<percent> voption) =
    value.IsNone || (value.Value >= 0.0<percent> && value.Value <= 100.0<percent>)

let tests =
    testList
        "Jobs"
        [
            testList
                "Grouping"
                [
                    law "no job has processes of two users, and no process is in two jobs" machine (fun (processes, holdings) ->
                        let jobs = Grouping.group processes holdings
                        let all = jobs |> Array.collect pids

                        jobs
                        |> Array.forall (fun job -> job.Processes |> Array.forall (fun one -> one.Uid = job.Uid))
                        && same (Array.distinct all) all)
                    law "every holder that is there is in a job, with its GPUs" machine (fun (processes, holdings) ->
                        let jobs = Grouping.group processes holdings

                        holdings
                        |> Array.filter (fun holding -> processes |> Array.exists (fun one -> one.Pid = holding.Pid))
                        |> Array.forall (fun holding ->
                            jobs
                            |> Array.exists (fun job ->
                                job.Drivers |> Array.exists (fun one -> one.Pid = holding.Pid)
                                && job.Gpus |> Array.exists (fun gpu -> gpu.Index = holding.Gpu.Index))))
                    law "a job has a holder, and its ids are its own" machine (fun (processes, holdings) ->
                        let jobs = Grouping.group processes holdings
                        let ids = jobs |> Array.map _.Id

                        jobs |> Array.forall (fun job -> job.Drivers.Length > 0 && job.Gpus.Length > 0)
                        && same (Array.distinct ids) ids)
                    law "the order of processes and of GPUs changes nothing" machine (fun (processes, holdings) ->
                        same
                            (shape (Grouping.group (Array.rev processes) (Array.rev holdings)))
                            (shape (Grouping.group processes holdings)))
                    law "a job is the same whether or not another process holds a GPU elsewhere" machine (fun (processes, holdings) ->
                        match holdings with
                        | [||] -> true
                        | _ ->
                            let jobs = Grouping.group processes holdings
                            let fewer = Grouping.group processes holdings[..0]

                            fewer
                            |> Array.forall (fun job -> jobs |> Array.exists (fun other -> other.Id = job.Id && pids other = pids job)))
                ]
            testList
                "CommandLine"
                [
                    law "no secret is ever shown" confidential (fun (secret, arguments) ->
                        not ((CommandLine.masked arguments).Contains(secret, StringComparison.Ordinal))
                        || failtestf "%s" (CommandLine.masked arguments))
                    law "names have no arguments" confidential (fun (secret, arguments) ->
                        not (
                            (CommandLine.nameOf (Array.append [| "python"; "train.py" |] arguments))
                                .Contains(secret, StringComparison.Ordinal)
                        ))
                    law "no name has what stands behind code" coded (fun (secret, arguments) ->
                        let name = CommandLine.nameOf arguments
                        not (name.Contains(secret, StringComparison.Ordinal)) || failtestf "%s" name)
                    law "no secret is shown in any form that says so" spoken (fun (secret, arguments) ->
                        let shown = CommandLine.masked arguments
                        not (shown.Contains(secret, StringComparison.Ordinal)) || failtestf "%s" shown)
                    law "nor behind a long text" (Gen.zip spoken (Gen.choose (0, 5000))) (fun ((secret, arguments), length) ->
                        let arguments = Array.append [| "x"; String.replicate length "a " |] arguments
                        let shown = CommandLine.masked arguments

                        shown.Length <= CommandLine.Longest
                        && not (shown.Contains(secret, StringComparison.Ordinal)))
                    law "what is shown is one line of bounded length, whatever was given" (upTo 8 anyText) (fun arguments ->
                        let shown = CommandLine.masked arguments
                        let name = CommandLine.nameOf arguments

                        shown.Length <= CommandLine.Longest
                        && name.Length <= 80
                        && not (Seq.exists Char.IsControl (shown + name)))
                ]
            testList
                "Looks"
                [
                    law
                        "shares are within 0 and 100, and rates are not negative, whatever was counted"
                        (Gen.zip look look)
                        (fun (before, after) ->
                            (Looks.between before after).Jobs
                            |> Array.forall (fun job ->
                                [
                                    job.BusiestThread
                                    job.MainThread
                                    job.LoadersBusy
                                    job.CpuWait
                                    job.Blocked
                                    job.MainBlocked
                                ]
                                |> List.forall isShare
                                && (job.CpuCores.IsNone || job.CpuCores.Value >= 0.0)
                                && (job.Read.IsNone || job.Read.Value >= 0.0<B / s>)
                                && (job.MajorFaults.IsNone || job.MajorFaults.Value >= 0.0< / s>)))
                    law "two looks at one instant give no shares of time" look (fun look ->
                        (Looks.between look look).Jobs
                        |> Array.forall (fun job -> job.MainThread.IsNone && job.CpuCores.IsNone && job.Read.IsNone))
                    law "without a look before there are no shares of time" look (fun look ->
                        (Looks.between
                            { look with
                                Jobs = [||]
                                Clock = TimeSpan.Zero
                            }
                            look)
                            .Jobs
                        |> Array.forall (fun job ->
                            job.MainThread.IsNone
                            && job.LoadersBusy.IsNone
                            && job.CpuWait.IsNone
                            && job.CpuCores.IsNone))
                    law "the order of processes changes nothing" (Gen.zip look look) (fun (before, after) ->
                        let turned =
                            { after with
                                Jobs =
                                    after.Jobs
                                    |> Array.map (fun job ->
                                        { job with
                                            Processes = Array.rev job.Processes
                                        })
                            }

                        let rounded (value: float<'u> voption) =
                            value |> ValueOption.map (fun value -> Math.Round(float value, 6))

                        let figures (evidence: Evidence) =
                            evidence.Jobs
                            |> Array.map (fun job ->
                                rounded job.MainThread, rounded job.LoadersBusy, rounded job.Blocked, job.Loaders, job.Memory)

                        same (figures (Looks.between before turned)) (figures (Looks.between before after)))
                ]
        ]
