module Agent.Sender.Tests.DiagnosisTests

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport.CommandLine
open Expecto

let private now = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

/// What is judged of a row: its result and its cause.
let private judged (row: Row) = row.Result, row.Cause

let private expect (result: CheckResult, cause: string) (row: Row) =
    Expect.equal (judged row) (result, cause) row.Finding
    Expect.equal (row.Fix = "") (result = CheckResult.Good) "a fix for what is not good, and none for what is"

let private good = CheckResult.Good, ""
let private doubt cause = CheckResult.Doubtful, cause
let private bad cause = CheckResult.Bad, cause

let private doctor = settingsOf [ "--doctor" ] []
let private full = settingsWith [ "--doctor" ]

let private configuration (settings: Settings) token =
    Diagnosis.configuration settings token
    |> Array.map (fun row -> row.Check, judged row)
    |> List.ofArray

let private tokenError message : Result<string, ConfigError> voption =
    ValueSome(
        Error
            {
                Origin = "--token-file"
                Message = message
            }
    )

let private configurationTests =
    testList
        "configuration"
        [
            testCase "everything is given"
            <| fun () ->
                Expect.equal
                    (configuration full (ValueSome(Ok "")))
                    [
                        "host", good
                        "server slug", good
                        "token", good
                        "encryption", doubt "plain-http"
                    ]
                    "rows"

            testCase "nothing is given"
            <| fun () ->
                Expect.equal
                    (configuration doctor ValueNone)
                    [
                        "host", bad "host-missing"
                        "server slug", bad "slug-missing"
                        "token", bad "token-missing"
                    ]
                    "rows"

            testCase "only the host is missing"
            <| fun () ->
                let settings = settingsOf [ "--doctor"; "--server-slug"; "a"; "--token"; "b" ] []

                Expect.equal
                    (configuration settings ValueNone)
                    [
                        "host", bad "host-missing"
                        "server slug", good
                        "token", doubt "not-checked"
                    ]
                    "rows"

            testCase "a dry run needs none of them"
            <| fun () ->
                Expect.equal
                    (configuration (settingsOf [ "--doctor"; "--dry-run" ] []) ValueNone)
                    [
                        "host", doubt "host-missing"
                        "server slug", doubt "left-out"
                        "token", doubt "left-out"
                    ]
                    "rows"

            for words, where in
                [
                    [ "--listen"; "127.0.0.1:9835" ], "Prometheus"
                    [ "--remote-write"; "http://prometheus:9090/api/v1/write" ], "Prometheus"
                    [ "--otlp"; "http://collector:4318" ], "OpenTelemetry"
                    [ "--otlp=http://collector:4318"; "--listen=127.0.0.1:9835" ], "Prometheus and OpenTelemetry"
                ] do
                testCase $"{words.Head} alone needs none of them, and nobody speaks of --dry-run"
                <| fun () ->
                    let settings = settingsOf ("--doctor" :: words) []

                    for row in Array.append (Diagnosis.configuration settings ValueNone) [| Diagnosis.noWebapp settings |] do
                        expect good row
                        Expect.equal row.Finding $"none is given: samples go to {where} only" row.Check

            testCase "an address for metrics: free, held by an agent, held by somebody else"
            <| fun () ->
                Diagnosis.listening "127.0.0.1:9835" "" false |> expect good

                Diagnosis.listening "127.0.0.1:9835" "taken" true
                |> expect (doubt "listen-in-use")

                let row = Diagnosis.listening "127.0.0.1:9835" "taken" false
                expect (bad "listen-unusable") row
                Expect.stringContains row.Finding "taken" "why"

            testCase "the token that readers of metrics show"
            <| fun () ->
                Diagnosis.listenToken (Ok "") |> expect good

                Diagnosis.listenToken (Ok "readable by everybody")
                |> expect (doubt "token-exposed")

                match tokenError "--listen-token-file: /t cannot be read: no such file" with
                | ValueSome unreadable -> Diagnosis.listenToken unreadable |> expect (bad "listen-unusable")
                | ValueNone -> failtest "there is an error"

            testCase "where a webapp is wanted, that it cannot be looked at is worth a look"
            <| fun () -> Diagnosis.noWebapp doctor |> expect (doubt "not-checked")

            for name, token, expected in
                [
                    "visible", ValueSome(Ok "--token: seen by ps"), doubt "token-exposed"
                    "empty credential", ValueSome(Error IngestToken.missing), bad "token-missing"
                    "unreadable", tokenError "--token-file: /t cannot be read: no such file", bad "token-unreadable"
                    "with blanks", tokenError "--token-file: /t: the token contains white space", bad "token-malformed"
                ] do
                testCase $"a token: {name}"
                <| fun () ->
                    let rows = Diagnosis.configuration full token
                    rows |> Array.find (fun row -> row.Check = "token") |> expect expected

            testCase "--insecure and changed values are worth a look"
            <| fun () ->
                let settings = settingsWith [ "--doctor"; "--insecure"; "--interval"; "0.1" ]
                let rows = Diagnosis.configuration settings (ValueSome(Ok ""))

                rows
                |> Array.find (fun row -> row.Check = "--insecure")
                |> expect (doubt "unverified")

                rows
                |> Array.find (fun row -> row.Check = "option")
                |> expect (doubt "value-changed")

            testCase "a token that goes to another machine over http is worth a look, over the loopback or https it is not"
            <| fun () ->
                let rowFor host =
                    Diagnosis.configuration
                        (settingsOf [ "--doctor"; $"--host={host}"; "--server-slug=s"; "--token=abcdefgh" ] [])
                        (ValueSome(Ok ""))
                    |> Array.tryFind (fun row -> row.Check = "encryption")

                rowFor "http://10.0.0.1:8000" |> Option.get |> expect (doubt "plain-http")

                for host in
                    [
                        "http://127.0.0.1:8000"
                        "http://localhost"
                        "http://[::1]:8000"
                        "https://10.0.0.1"
                    ] do
                    Expect.isNone (rowFor host) host
        ]

let private certificate: TlsFact =
    {
        Protocol = "Tls13"
        Subject = "CN=h"
        Issuer = "CN=ca"
        NotBefore = now.AddDays -1.0
        NotAfter = now.AddDays 1.0
        IsForHost = true
        IsTrusted = true
    }

let private answered status date body : Exchange =
    Exchange.Answered
        {
            Status = status
            RetryAfter = ""
            Location = ""
            Date = date
            Body = ReadOnlyMemory(Encoding.UTF8.GetBytes(body: string))
            SamplesWritten = ValueNone
            WasSentTwice = false
        }

let private stored date = answered 200 date """{"ok": true}"""

let private wayTests =
    testList
        "way"
        [
            for name, fact, expected in
                [
                    "good", certificate, good
                    "expired",
                    { certificate with
                        NotAfter = now.AddSeconds -1.0
                    },
                    bad "certificate-expired"
                    "of the future",
                    { certificate with
                        NotBefore = now.AddSeconds 1.0
                    },
                    bad "certificate-not-yet-valid"
                    "another's", { certificate with IsForHost = false }, bad "wrong-host-name"
                    "untrusted", { certificate with IsTrusted = false }, bad "issuer-unknown"
                ] do
                testCase $"a certificate alone: {name}"
                <| fun () -> Diagnosis.tls full now (Ok fact) ValueNone |> expect expected

            testCase "a request that went through is believed more than the certificate"
            <| fun () ->
                let fact = { certificate with IsTrusted = false }
                Diagnosis.tls full now (Ok fact) (ValueSome(stored "")) |> expect good

                Diagnosis.tls full now (Error(NetworkFailure.Broken "x")) (ValueSome(stored ""))
                |> expect good

            testCase "with --insecure no certificate is wrong"
            <| fun () ->
                let fact = { certificate with IsTrusted = false }

                Diagnosis.tls (settingsWith [ "--doctor"; "--insecure" ]) now (Ok fact) ValueNone
                |> expect good

            testCase "an issuer of --ca-file cannot be judged without a request"
            <| fun () ->
                let fact = { certificate with IsTrusted = false }

                Diagnosis.tls (settingsWith [ "--doctor"; "--ca-file"; "/ca" ]) now (Ok fact) ValueNone
                |> expect (doubt "not-checked")

            testCase "a name that does not resolve, and one that is an address"
            <| fun () ->
                Diagnosis.dns "" "h" (Error(NetworkFailure.NameNotResolved "h"))
                |> expect (bad "name-unresolved")

                Diagnosis.dns "" "h" (Error(NetworkFailure.TimedOut(TimeSpan.FromSeconds 3.0)))
                |> expect (bad "name-unresolved")

                Diagnosis.dns "" "127.0.0.1" (Ok [| "127.0.0.1" |]) |> expect good

            testCase "a refused connection"
            <| fun () ->
                Diagnosis.tcp "" (Error(NetworkFailure.Refused "h:1"))
                |> expect (bad "connection-refused")

            testCase "a proxy that cannot be reached is not the webapp"
            <| fun () ->
                Diagnosis.tcp "proxy:3128" (Error(NetworkFailure.Refused "proxy:3128"))
                |> expect (bad "proxy-unreachable")

                Diagnosis.dns "proxy:3128" "proxy" (Error(NetworkFailure.NameNotResolved "proxy"))
                |> expect (bad "proxy-unreachable")

            testCase "a 404 is told by what the route's question found"
            <| fun () ->
                let lost = answered 404 "" "<html>"
                Diagnosis.ingest now lost ValueNone |> expect (bad "not-found")

                Diagnosis.ingest now lost (ValueSome Cause.SlugUnknown)
                |> expect (bad "slug-unknown")

            for date, expected in
                [
                    "Thu, 26 Feb 2026 12:00:05 GMT", good
                    "Thu, 26 Feb 2026 12:00:06 GMT", doubt "clock-skewed"
                    "Thu, 26 Feb 2026 11:55:00 GMT", doubt "clock-skewed"
                    "Thu, 26 Feb 2026 11:54:59 GMT", bad "clock-skewed"
                    "", doubt "not-checked"
                ] do
                testCase $"the clock against a Date of \"{date}\""
                <| fun () -> Diagnosis.clock full now (ValueSome(stored date)) |> expect expected
        ]

let private disk name busy : DiskStats.DiskCounters =
    {
        Device = name
        Reads = ValueSome 1UL
        ReadBytes = ValueSome 1UL<B>
        Writes = ValueSome 1UL
        WrittenBytes = ValueSome 1UL<B>
        BusyTime = busy
        Detail = ValueNone
    }

let private gpu: Gpu =
    { Gpu.OfIndex 0 with
        Name = "NVIDIA H100"
    }

/// A machine as it should be, but for what a test changes: two boards, and a library that tells of them.
let private twoGpus: GpuFact =
    {
        Reader = GpuReader.Auto
        Surroundings =
            {
                Devices = ValueSome 2
                Driver = "570.86.15"
                Nodes = GpuNodes.Usable
            }
        Library = Nvml.State.Opened 2
        NvidiaSmi = NvidiaSmiState.NotAsked
        Reading =
            {
                Gpus = [| gpu; { gpu with Index = 1 } |]
                Faults = [||]
            }
        Hanging = ""
    }

let private nothing: GpuFact =
    { twoGpus with
        Reading = { Gpus = [||]; Faults = [||] }
    }

let private withFaults (faults: SourceError list) : GpuFact =
    { twoGpus with
        Reading =
            { twoGpus.Reading with
                Faults = Array.ofList faults
            }
    }

let private surrounded devices driver nodes (fact: GpuFact) : GpuFact =
    { fact with
        Surroundings =
            {
                Devices = devices
                Driver = driver
                Nodes = nodes
            }
    }

let private asked library program (fact: GpuFact) : GpuFact =
    { fact with
        Library = library
        NvidiaSmi = program
    }

let private notLoaded = Nvml.State.NotLoaded "libnvidia-ml.so.1: cannot open shared object file"

let private failed failure =
    NvidiaSmiState.Failed(failure, "nvidia-smi cannot be read: exit code 9")

/// Each case of a machine whose GPUs cannot be read, or not all of it.
let private gpuCases: (string * GpuFact * (CheckResult * string)) list =
    let bare = surrounded (ValueSome 0) "" GpuNodes.Missing nothing
    let missing = NvidiaSmiState.Missing

    [
        "two GPUs", twoGpus, good
        "nobody is to ask", { nothing with Reader = GpuReader.None }, good
        "one that does not tell all", withFaults [ SourceError.Absent "x" ], doubt "gpu-fields-unreadable"
        "one that is lost",
        withFaults
            [
                SourceError.Absent "x"
                SourceError.Unreadable("libnvidia-ml GPU 1", "GPU_IS_LOST")
            ],
        bad "gpu-lost"
        "a driver that was reloaded under the reading", withFaults [ SourceError.Unreadable("libnvidia-ml GPU 1", "UNINITIALIZED") ], good
        "one that wants a reset", withFaults [ SourceError.Unreadable("libnvidia-ml GPU 1", "RESET_REQUIRED") ], bad "gpu-lost"
        "one that nvidia-smi has lost", withFaults [ SourceError.Unreadable("nvidia-smi GPU 1", "GPU_IS_LOST") ], bad "gpu-lost"
        "one that is bound to the driver and not listed",
        withFaults (
            GpuDiagnosis.unlisted
                [| "0000:46:00.0" |]
                [|
                    { Gpu.OfIndex 0 with
                        PciBusId = "00000000:3A:00.0"
                    }
                |]
            |> List.ofArray
        ),
        bad "gpu-lost"
        "one that refuses, among others that do not tell all",
        withFaults
            [
                SourceError.Absent "x"
                SourceError.Unreadable("libnvidia-ml GPU 1", "NO_PERMISSION")
            ],
        doubt "gpu-no-permission"
        "one that refuses and one that is lost",
        withFaults
            [
                SourceError.Unreadable("libnvidia-ml GPU 0", "NO_PERMISSION")
                SourceError.Unreadable("libnvidia-ml GPU 1", "GPU_IS_LOST")
            ],
        bad "gpu-lost"
        "an nvidia-smi that gives up over a lost one", asked notLoaded (failed NvidiaSmiFailure.GpuLost) nothing, bad "gpu-lost"
        "an nvidia-smi that gives up over a lost one, where nothing else is to be seen",
        asked notLoaded (failed NvidiaSmiFailure.GpuLost) bare,
        bad "gpu-lost"
        "a library that counts more GPUs than can be",
        nothing
        |> surrounded (ValueSome 1) "570.86.15" GpuNodes.Usable
        |> asked (Nvml.State.Failed -1) missing,
        bad "gpu-library-failing"
        "no device, and an nvidia-smi that was named and says nothing",
        { asked Nvml.State.NotTried (failed NvidiaSmiFailure.Other) bare with
            Reader = GpuReader.NvidiaSmi
        },
        bad "gpu-reader-failing"
        "no device on the bus", asked notLoaded missing bare, doubt "no-gpu"
        "no device, and an nvidia-smi that fails", asked notLoaded (failed NvidiaSmiFailure.DriverNotLoaded) bare, doubt "no-gpu"
        "a bus that cannot be looked at", nothing |> surrounded ValueNone "" GpuNodes.Missing |> asked notLoaded missing, doubt "no-gpu"
        "a device without a driver",
        nothing
        |> surrounded (ValueSome 1) "" GpuNodes.Missing
        |> asked notLoaded missing,
        bad "gpu-driver-missing"
        "a device whose driver went away", asked (Nvml.State.Failed 9) missing nothing, bad "gpu-driver-missing"
        "nvidia-smi says that no driver is loaded",
        asked notLoaded (failed NvidiaSmiFailure.DriverNotLoaded) nothing,
        bad "gpu-driver-missing"
        "a driver without device nodes",
        nothing
        |> surrounded (ValueSome 1) "570.86.15" GpuNodes.Missing
        |> asked (Nvml.State.Failed 9) missing,
        bad "gpu-nodes-missing"
        "a driver without device nodes, where the bus cannot be looked at",
        nothing
        |> surrounded ValueNone "570.86.15" GpuNodes.Missing
        |> asked notLoaded missing,
        bad "gpu-nodes-missing"
        "device nodes that are closed",
        nothing
        |> surrounded (ValueSome 1) "570.86.15" (GpuNodes.Denied "/dev/nvidia0")
        |> asked (Nvml.State.Failed 999) missing,
        bad "gpu-no-permission"
        "a library that refuses", asked (Nvml.State.Failed 4) NvidiaSmiState.NotAsked nothing, bad "gpu-no-permission"
        "an nvidia-smi that refuses", asked notLoaded (failed NvidiaSmiFailure.NoPermission) nothing, bad "gpu-no-permission"
        "no library, and nobody else to ask", asked notLoaded missing nothing, bad "gpu-library-missing"
        "no library, and no wish to ask nvidia-smi",
        asked notLoaded NvidiaSmiState.NotAsked { nothing with Reader = GpuReader.Nvml },
        bad "gpu-library-missing"
        "a library that misses a part of itself", asked (Nvml.State.Failed 12) missing nothing, bad "gpu-library-missing"
        "nvidia-smi misses the library",
        asked Nvml.State.NotTried (failed NvidiaSmiFailure.LibraryMissing) nothing,
        bad "gpu-library-missing"
        "two versions, by the library", asked (Nvml.State.Failed 18) missing nothing, bad "gpu-version-mismatch"
        "two versions, where nothing else is to be seen", asked (Nvml.State.Failed 18) missing bare, bad "gpu-version-mismatch"
        "a library that refuses, where nothing else is to be seen", asked (Nvml.State.Failed 4) missing bare, bad "gpu-no-permission"
        "two versions, by nvidia-smi", asked notLoaded (failed NvidiaSmiFailure.VersionMismatch) nothing, bad "gpu-version-mismatch"
        "two versions, where there are no device nodes either",
        nothing
        |> surrounded (ValueSome 1) "570.86.15" GpuNodes.Missing
        |> asked (Nvml.State.Failed 18) missing,
        bad "gpu-version-mismatch"
        "a library that fails", asked (Nvml.State.Failed 999) (failed NvidiaSmiFailure.UnknownError) nothing, bad "gpu-library-failing"
        "a library that hangs",
        { nothing with
            Library = Nvml.State.NotTried
            Hanging = "no answer within 3.5 s"
        },
        bad "gpu-library-hanging"
        "a library that hangs on a machine that shows nothing else",
        { bare with
            Library = Nvml.State.NotTried
            Hanging = "no answer within 3.5 s"
        },
        bad "gpu-library-hanging"
        "a library of which only a part answers",
        { twoGpus with
            Hanging = "no answer to costly queries"
        },
        bad "gpu-library-hanging"
        "no nvidia-smi, which was to be asked",
        asked
            Nvml.State.NotTried
            missing
            { nothing with
                Reader = GpuReader.NvidiaSmi
            },
        bad "gpu-reader-missing"
        "an nvidia-smi that fails", asked notLoaded (failed NvidiaSmiFailure.Other) nothing, bad "gpu-reader-failing"
        "an nvidia-smi that hangs", asked notLoaded NvidiaSmiState.Hung nothing, bad "gpu-reader-hanging"
        "all is well and there are none", asked (Nvml.State.Opened 0) NvidiaSmiState.NotAsked nothing, bad "gpu-hidden"
        "nvidia-smi works and shows none", asked notLoaded NvidiaSmiState.Told nothing, bad "gpu-hidden"
        "nvidia-smi says that there are none", asked notLoaded (failed NvidiaSmiFailure.NoDevices) nothing, bad "gpu-hidden"
        "a driver on a machine without a GPU",
        nothing
        |> surrounded (ValueSome 0) "570.86.15" GpuNodes.Usable
        |> asked (Nvml.State.Opened 0) NvidiaSmiState.NotAsked,
        doubt "no-gpu"
    ]

let private gpuWords =
    testList
        "the words about GPUs"
        [
            testCase "the GPUs and who told of them"
            <| fun () ->
                Expect.equal (GpuDiagnosis.row twoGpus).Finding "2 x NVIDIA H100 (libnvidia-ml)" "by the library"
                let bySmi = asked notLoaded NvidiaSmiState.Told twoGpus
                Expect.equal (GpuDiagnosis.row bySmi).Finding "2 x NVIDIA H100 (nvidia-smi)" "by nvidia-smi"

                Expect.equal
                    (GpuDiagnosis.finding twoGpus)
                    {
                        Summary = "2 x NVIDIA H100 (libnvidia-ml)"
                        Problem = ""
                        Advice = ""
                    }
                    "in the log"

            testCase "why there are none, with everything that is known"
            <| fun () ->
                let fact =
                    nothing
                    |> surrounded (ValueSome 1) "570.86.15" (GpuNodes.Denied "/dev/nvidiactl")
                    |> asked (Nvml.State.Failed 999) (failed NvidiaSmiFailure.Other)

                let detail =
                    "(1 NVIDIA device on the PCI bus, driver 570.86.15, /dev/nvidiactl: permission denied, libnvidia-ml: UNKNOWN, "
                    + "nvidia-smi cannot be read: exit code 9)"

                Expect.equal (GpuDiagnosis.row fact).Finding ("The agent has no permission to use the GPUs. " + detail) "doctor"

                Expect.equal
                    (GpuDiagnosis.finding fact)
                    {
                        Summary = "none, gpu-no-permission"
                        Problem = "the agent has no permission to use the GPUs"
                        Advice =
                            "The agent has no permission to use the GPUs. Give its user, unit (DeviceAllow=) or container access to /dev/nvidiactl and "
                            + "/dev/nvidia*. "
                            + detail
                    }
                    "in the log"

            testCase "a call that does not return is told without what nobody has looked at"
            <| fun () ->
                let fact =
                    { nothing with
                        Library = Nvml.State.NotTried
                        Hanging = "libnvidia-ml: a call has not returned for 10 s"
                    }
                    |> surrounded ValueNone "" GpuNodes.Usable

                Expect.equal
                    (GpuDiagnosis.finding fact)
                    {
                        Summary = "none, gpu-library-hanging"
                        Problem = "a call to NVIDIA's library libnvidia-ml does not return"
                        Advice =
                            "A call to NVIDIA's library libnvidia-ml does not return. Look for NVRM and Xid in dmesg: the driver hangs; reset "
                            + "the GPU, reload the driver or restart the machine. (libnvidia-ml: a call has not returned for 10 s)"
                    }
                    "in the log"

            testCase "a machine without GPUs gets no advice, nor does one whose GPUs nobody is to read"
            <| fun () ->
                let bare =
                    nothing
                    |> surrounded (ValueSome 0) "" GpuNodes.Missing
                    |> asked notLoaded NvidiaSmiState.Missing

                Expect.equal (GpuDiagnosis.finding bare) GpuDiagnosis.none "none"

                Expect.equal (GpuDiagnosis.finding { nothing with Reader = GpuReader.None }) GpuDiagnosis.none "not read"

            testCase "what the line at the start says"
            <| fun () ->
                let says reader devices =
                    GpuDiagnosis.inSight
                        reader
                        { twoGpus.Surroundings with
                            Devices = devices
                        }

                Expect.equal (says GpuReader.Auto (ValueSome 0)) "none on the PCI bus" "none"
                Expect.equal (says GpuReader.Nvml (ValueSome 8)) "8 on the PCI bus" "eight"
                Expect.equal (says GpuReader.NvidiaSmi ValueNone) "unknown" "no bus"
                Expect.equal (says GpuReader.None (ValueSome 8)) "not read" "nobody is to ask"

            testCase "the version of the driver, in the words of its file, of the open module's, and of /sys/module"
            <| fun () ->
                let version (text: string) =
                    GpuDiagnosis.driverVersion (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))

                Expect.equal
                    (version
                        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.256.02  Thu May  2 14:37:44 UTC 2024\nGCC version:  gcc 12.2.0\n")
                    "470.256.02"
                    "closed"

                Expect.equal
                    (version "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (dvs-builder@x)\n")
                    "570.86.15"
                    "open"

                Expect.equal (version "570.86.15\n") "570.86.15" "module"
                Expect.equal (version "") "" "none"
        ]

let private boundTests =
    testList
        "boards that the driver has and does not list"
        [
            testCase "the number of a board's node, and none of a board that is to be left alone"
            <| fun () ->
                let information excluded minor =
                    $"Model: \t\t NVIDIA A100-SXM4-40GB\nIRQ:   \t\t 184\nGPU UUID: \t GPU-????????-????-????-????-????????????\n"
                    + $"Bus Location: \t 0000:07:00.0\nDevice Minor: \t {minor}\n{excluded}"

                for text, expected in
                    [
                        information "GPU Excluded:\t No\n" "3", ValueSome 3
                        information "" "0", ValueSome 0
                        information "GPU Excluded:\t Yes\n" "3", ValueNone
                        information "Blacklisted:\t Yes\n" "3", ValueNone
                        information "" "N/A", ValueNone
                        information "" "-1", ValueNone
                        "", ValueNone
                        "Device Minor", ValueNone
                    ] do
                    Expect.equal (GpuDiagnosis.minor (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))) expected text

            testCase "a board is known by its address, however many digits that has"
            <| fun () ->
                let at address =
                    { Gpu.OfIndex 0 with
                        PciBusId = address
                    }

                let unlisted bound gpus =
                    GpuDiagnosis.unlisted (Array.ofList bound) (Array.ofList gpus)

                let missing =
                    "NVIDIA GPU 0000:46:00.0 cannot be read: the driver has it in the kernel, and does not list it"

                Expect.equal (unlisted [ "0000:3a:00.0" ] [ at "00000000:3A:00.0" ]) [||] "the same"

                Expect.equal
                    (unlisted [ "0000:3a:00.0"; "0000:46:00.0" ] [ at "00000000:3A:00.0" ]
                     |> Array.map string)
                    [| missing |]
                    "one is missing"

                Expect.equal (unlisted [ "0000:46:00.0" ] [ at "00000000:3A:00.0"; at "" ]) [||] "one does not say where it is"
                Expect.equal (unlisted [] [ at "00000000:3A:00.0" ]) [||] "nothing is bound"
        ]

let private machineTests =
    testList
        "machine"
        [
            for name, fact, expected in gpuCases do
                testCase $"GPUs: {name}"
                <| fun () ->
                    GpuDiagnosis.row fact |> expect expected
                    // A running agent gives advice exactly where it is not about a machine without GPUs.
                    let advises = (GpuDiagnosis.finding fact).Advice <> ""
                    Expect.equal advises (expected <> good && expected <> doubt "no-gpu") "advice"

            gpuWords
            boundTests

            for vendor, kind, expected in
                [
                    "0x10de\n", "0x030200\n", true
                    "0x10de\n", "0x030000\n", true
                    "0x10de\n", "0x040300\n", false
                    "0x1af4\n", "0x030000\n", false
                    "", "", false
                ] do
                testCase $"vendor {vendor.Trim()} of class {kind.Trim()}"
                <| fun () -> Expect.equal (GpuDiagnosis.isNvidiaDisplay vendor kind) expected "a display of NVIDIA"

            for name, wanted, found, expected in
                [
                    "tracked", [||], [| disk "sda" (ValueSome 5UL<ms>) |], good
                    "of another name", [| "sdb" |], [| disk "sda" (ValueSome 5UL<ms>) |], bad "disks-unmatched"
                    "none that is physical", [||], [| disk "loop0" (ValueSome 5UL<ms>) |], doubt "no-disks"
                    "none at all", [||], [||], doubt "no-disks"
                    "without busy time", [||], [| disk "sda" ValueNone |], doubt "busy-time-uncounted"
                    "without busy time beside one that tells",
                    [||],
                    [| disk "sda" (ValueSome 5UL<ms>); disk "sdb" ValueNone |],
                    doubt "busy-time-uncounted"
                    "the wrong ones", [| "sda" |], [| disk "sda" (ValueSome 0UL<ms>); disk "sdb" (ValueSome 9UL<ms>) |], doubt "disks-idle"
                    "all idle", [||], [| disk "sda" (ValueSome 0UL<ms>) |], good
                ] do
                testCase $"disks: {name}"
                <| fun () ->
                    DeviceDiagnosis.disks Sys.BlockDevices.unknown wanted (Ok found)
                    |> expect expected

            testCase "a running agent is told of disks that cannot say how busy they are, once more than their names"
            <| fun () ->
                let busy = [| disk "sda" (ValueSome 5UL<ms>) |]
                Expect.equal (DeviceDiagnosis.diskAdvice Sys.BlockDevices.unknown [||] busy) "" "nothing amiss"
                Expect.equal (DeviceDiagnosis.diskAdvice Sys.BlockDevices.unknown [| "sdb" |] busy) "" "told elsewhere"
                let line = DeviceDiagnosis.diskAdvice Sys.BlockDevices.unknown [||] [| disk "loop0" ValueNone |]
                Expect.stringStarts line "No disk was found" "no disks"
                Expect.stringEnds line "(there are loop0)" "those that exist"

            testCase "disks of another name are told with those that exist"
            <| fun () ->
                let row =
                    DeviceDiagnosis.disks Sys.BlockDevices.unknown [| "nvme9n1" |] (Ok [| disk "sda" ValueNone; disk "loop0" ValueNone |])

                Expect.stringEnds row.Finding "(there is no nvme9n1; there are sda, loop0)" "finding"

            testCase "a source that every Linux has, and one that is a matter of the machine"
            <| fun () ->
                let absent: Result<int, SourceError> = Error(SourceError.Absent "/x")

                let unreadable: Result<int, SourceError> = Error(SourceError.Unreadable("/x", "permission denied"))

                Diagnosis.source "s" true (Ok 3) |> expect good
                Diagnosis.source "s" true absent |> expect (bad "source-missing")
                Diagnosis.source "s" false absent |> expect good
                Diagnosis.source "s" true unreadable |> expect (bad "source-unreadable")
                Diagnosis.source "s" false unreadable |> expect (doubt "source-unreadable")
        ]

let private spool: SpoolFact =
    {
        Path = "/spool"
        Problem = ""
        Free = ValueSome(bytesOfMib 1000UL<MiB>)
        Limit = bytesOfMib 256UL<MiB>
        Backlog = 0UL<B>
        InUse = false
        OtherVersions = 0
    }

let private here: ContainerFact =
    {
        Cgroups = "0::/init.scope\n"
        Marks = [||]
        ReadsOtherProc = false
        SeesFirstProcess = true
    }

let private surroundingTests =
    testList
        "surroundings"
        [
            for name, fact, expected in
                [
                    "good", spool, good
                    "none", { spool with Path = "" }, doubt "no-spool"
                    "read-only", { spool with Problem = "read-only" }, bad "spool-unusable"
                    "in use", { spool with InUse = true }, doubt "spool-in-use"
                    "little room",
                    { spool with
                        Free = ValueSome(bytesOfMib 255UL<MiB>)
                    },
                    doubt "spool-nearly-full"
                    "a backlog", { spool with Backlog = 10UL<B> }, doubt "spool-backlog"
                    "another version", { spool with OtherVersions = 1 }, doubt "spool-backlog"
                ] do
                testCase $"spool: {name}"
                <| fun () -> Diagnosis.spoolDirectory fact |> expect expected

            for name, fact, expected in
                [
                    "none", here, good
                    "docker's file",
                    { here with
                        Marks = [| "/.dockerenv" |]
                    },
                    doubt "in-container"
                    "a pod's cgroup",
                    { here with
                        Cgroups = "0::/kubepods/besteffort/pod1\n"
                    },
                    doubt "in-container"
                    "with the host's /proc",
                    { here with
                        Marks = [| "/.dockerenv" |]
                        ReadsOtherProc = true
                    },
                    good
                    "hidden processes", { here with SeesFirstProcess = false }, doubt "processes-hidden"
                ] do
                testCase $"container: {name}"
                <| fun () -> Diagnosis.container fact |> expect expected
        ]

let private held: JobFact =
    {
        HasGpus = true
        Holders = 2
        Unseen = 0
        IsBusy = true
        IsApart = false
        Environment = true
        Io = true
        Schedule = true
        Children = true
        Cgroups = "1 and 2"
    }

let private jobTests =
    testList
        "jobs"
        [
            for name, fact, expected, finding in
                [
                    "all is told",
                    held,
                    good,
                    "2 processes use GPUs; control groups of version 1 and 2, schedstat, children, io, environ can be read"
                    "a machine without GPUs says so, and nothing else",
                    { held with
                        HasGpus = false
                        Io = false
                        Environment = false
                        Cgroups = ""
                    },
                    good,
                    "none, because there are no GPUs"
                    "nobody uses the GPUs",
                    { held with
                        Holders = 0
                        IsBusy = false
                        IsApart = true
                        Cgroups = "2"
                    },
                    good,
                    "no process uses the GPUs now; control groups of version 2, schedstat, children, io, environ can be read"
                    "what the kernel lacks costs nobody anything that could be mended",
                    { held with
                        Holders = 1
                        Schedule = false
                        Children = false
                        Cgroups = ""
                    },
                    good,
                    "1 process uses GPUs; io, environ can be read, control groups, schedstat, children cannot"
                    "a service without the drop-in",
                    { held with
                        Io = false
                        Environment = false
                        Cgroups = "2"
                    },
                    doubt "jobs-in-part",
                    "2 processes use GPUs; control groups of version 2, schedstat, children can be read, io, environ cannot"
                    "processes of another PID namespace, or hidden ones",
                    { held with Unseen = 1 },
                    doubt "jobs-hidden",
                    "1 of 2 processes that the driver reports"
                    "a container without the host's processes, whose driver names none",
                    { held with
                        Holders = 0
                        IsApart = true
                    },
                    doubt "jobs-hidden",
                    "GPUs are busy, but the driver reports no process"
                    "a GPU at work for something that is no compute process, on the host",
                    { held with Holders = 0 },
                    good,
                    "no process uses the GPUs now; control groups of version 1 and 2, schedstat, children, io, environ can be read"
                ] do
                testCase name
                <| fun () ->
                    let row = JobDiagnosis.jobs fact
                    expect expected row
                    Expect.stringContains row.Finding finding "what was found"

            testCase "the fixes name the drop-in, and a container's option"
            <| fun () ->
                Expect.stringContains (JobDiagnosis.jobs { held with Io = false }).Fix "jobs.conf" "the drop-in"
                Expect.stringContains (JobDiagnosis.jobs { held with Unseen = 1 }).Fix "--pid=host" "Docker and Podman"
                Expect.stringContains (JobDiagnosis.jobs { held with Unseen = 1 }).Fix "hostPID" "Kubernetes"
        ]

let private report: Row[] =
    [|
        Diagnosis.dns "" "h" (Ok [| "10.0.0.1" |])
        |> DoctorRow.timed (TimeSpan.FromMilliseconds 1.26)
        DoctorRow.notChecked "clock" "no\nanswer"
        Diagnosis.spoolDirectory { spool with Problem = "read-only" }
    |]

let private reportTests =
    testList
        "report"
        [
            testCase "a scheduler's job directory"
            <| fun () ->
                let file gpu jobs : Agent.Core.Jobs.GpuJobFile =
                    {
                        Gpu = gpu
                        Instance = ValueNone
                        Jobs = jobs
                    }

                let row files = GpuJobCheck.row "/run/jobs" files
                let two = row (Ok [| file 0 [| "1"; "2" |]; file 1 [| "2" |] |])
                two |> expect good
                Expect.equal two.Finding "/run/jobs lists 2 jobs on 2 GPUs" "jobs that share, and share out"
                Expect.equal (row (Ok [| file 3 [| "9" |] |])).Finding "/run/jobs lists 1 job on 1 GPU" "one"
                let empty = row (Ok [||])
                empty |> expect good
                Expect.equal empty.Finding "/run/jobs has no files for GPUs at present" "none runs"

                let missing = row (Error(SourceError.Unreadable("/run/jobs", "there is no such directory")))
                missing |> expect (doubt "source-unreadable")
                Expect.equal missing.Finding "/run/jobs cannot be read: there is no such directory" "why"

            testCase "a table for people"
            <| fun () ->
                Expect.equal
                    (DoctorReport.table report)
                    ("✓ DNS     1.3 ms  h is 10.0.0.1\n"
                     + "! clock           This could not be checked. (no answer)\n"
                     + "                  → Fix what is wrong first.\n"
                     + "✗ spool           The spool directory cannot be used. (/spool: read-only)\n"
                     + "                  → Create it, and let the agent's user write to it.\n"
                     + "\n1 wrong (✗), 1 to look at (!), 1 good (✓)\n")
                    "table"

            testCase "JSON for machines"
            <| fun () ->
                use document = JsonDocument.Parse(DoctorReport.toJson "1.2.3" report)
                let root = document.RootElement
                Expect.equal (root.GetProperty("version").GetString()) "1.2.3" "version"
                Expect.isFalse (root.GetProperty("healthy").GetBoolean()) "healthy"

                let checks =
                    [
                        for check in root.GetProperty("checks").EnumerateArray() ->
                            check.GetProperty("check").GetString(),
                            check.GetProperty("verdict").GetString(),
                            check.GetProperty("cause").GetString(),
                            check.GetProperty("duration_ms").GetRawText()
                    ]

                Expect.equal
                    checks
                    [
                        "DNS", "ok", null, "1.3"
                        "clock", "warning", "not-checked", "null"
                        "spool", "error", "spool-unusable", "null"
                    ]
                    "checks"

            testCase "only what is wrong makes the machine ill"
            <| fun () ->
                Expect.isFalse (DoctorReport.isHealthy report) "with ✗"
                Expect.isTrue (DoctorReport.isHealthy report[0..1]) "with !"
        ]

[<Tests>]
let tests =
    testList
        "Diagnosis"
        [
            configurationTests
            wayTests
            machineTests
            surroundingTests
            jobTests
            reportTests
        ]
