/// Which machines a cluster has, and what it asks for.
module Agent.Receiver.Tests.ClusterMachineTests

open System
open System.Text
open Agent.Core
open Agent.Receiver
open Agent.Receiver.Cluster
open Expecto

let private seen (job: string) (instance: string) (at: float) : ClusterSeries =
    {
        Labels = [| struct ("job", job); struct ("instance", instance) |]
        Times = [| 0L |]
        Values = [| at |]
    }

let private headers (text: string) =
    ClusterHeaders.parse (Encoding.UTF8.GetBytes text)

let private judgement (label: VerdictLabel) (since: DateTimeOffset) (reason: string) : Judgement =
    {
        Source = JudgementSource.Dashboard
        Machine =
            {
                Label = label
                Second = ValueNone
                Since = since
                Confidence = 0.5
                Reason = reason
                Fix = ""
                Evidence = [||]
                RuledOut = [||]
            }
        Jobs = [||]
    }

let private noon = DateTimeOffset(2026, 2, 26, 12, 0, 0, TimeSpan.Zero)

[<Tests>]
let tests =
    testList
        "Cluster machines"
        [
            testCase "the greatest uses of a minute are told of CPU and GPUs apart, at the minute whose end was asked"
            <| fun () ->
                let minute = RowKey.MicrosecondsPerMinute

                let one kind (values: float array) =
                    {
                        Labels = [| struct ("instance", "box"); struct ("job", "a"); struct ("k", kind) |]
                        Times = values |> Array.mapi (fun i _ -> (7L + int64 i) * minute - 1000L)
                        Values = values
                    }

                let found = ClusterMachines.minuteUses [| one "cpu" [| 5.0; nan |]; one "gpu" [| 7.5 |] |]

                Expect.equal
                    (found
                     |> Array.map (fun use' -> use'.Machine.Job, use'.Machine.Instance, use'.Minute, string use'.Cpu, string use'.Gpu))
                    [|
                        "a", "box", 6L, "5", "NaN"
                        "a", "box", 7L, "NaN", "NaN"
                        "a", "box", 6L, "NaN", "7.5"
                    |]
                    "minutes"

            testCase "an instance of two jobs is one machine, as the job has it that knows the newest"
            <| fun () ->
                let found =
                    ClusterMachines.found
                        [|
                            seen "a" "box" 5.0
                            seen "b" "box" 7.0
                            seen "a" "other" 1.0
                            seen "a" "" 9.0
                            seen "a" "x" nan
                        |]

                Expect.equal
                    (found |> Array.map (fun one -> one.Machine.Instance, one.Machine.Job))
                    [| "box", "b"; "other", "a" |]
                    "machines"

            testCase "a name at its longest is a machine, and a longer one is not"
            <| fun () ->
                let found length =
                    (ClusterMachines.found [| seen "a" (String('x', length)) 1.0 |]).Length

                Expect.equal (found 255, found 256) (1, 0) "machines"

            testCase "a slug that another machine has gets a number, and stays a slug at its longest"
            <| fun () ->
                let taken = set [ "box"; "box-2"; String('a', 64) ]

                let slug instance =
                    ClusterMachines.slugOf instance (Func<_, _> taken.Contains)

                Expect.equal (slug "Box") "box-3" "third"
                Expect.equal (slug "gpu.example:9100") "gpu-example-9100" "first"
                Expect.equal (slug (String('a', 70))) (String('a', 62) + "-2") "longest"
                Expect.isTrue (Registration.isSlug (slug (String('a', 70)))) "a slug"

            testCase "machines are asked about in portions of a hundred, or of so many names as a query takes"
            <| fun () ->
                let lengths count (length: int) =
                    Array.init count (fun index ->
                        {
                            Job = "a"
                            Instance = (string index).PadLeft(length, 'x')
                        })
                    |> ClusterMachines.portions
                    |> Array.map _.Length

                Expect.equal (lengths 0 10) [||] "none"
                Expect.equal (lengths 100 10) [| 100 |] "a hundred"
                Expect.equal (lengths 101 10) [| 100; 1 |] "one more"
                // 6,000 characters are 24 names of 250.
                Expect.equal (lengths 24 250) [| 24 |] "6,000 characters"
                Expect.equal (lengths 25 250) [| 24; 1 |] "more of them"

            testCase "while a cluster does not answer it is asked after 10 to 15 seconds, at random"
            <| fun () ->
                let seconds hasFailed random =
                    (ClusterMachines.pause hasFailed random).TotalSeconds

                Expect.equal ([ 0.0; 0.5; 1.0 ] |> List.map (seconds true)) [ 10.0; 12.5; 15.0 ] "after a failure"
                Expect.equal ([ 0.0; 0.5; 1.0 ] |> List.map (seconds false)) [ 10.0; 10.0; 10.0 ] "else on time"
                Expect.equal (seconds true 1.1) 15.0 "never later"
                Expect.equal (seconds true -0.1) 10.0 "never sooner"

            testCase "the agent's label stands, with the dashboard's sentence where it is the same one"
            <| fun () ->
                let said = ValueSome(struct (VerdictLabel.Compute, 0.9))
                let at = noon.AddMinutes 5.0
                let same = judgement VerdictLabel.Compute noon "it computes"
                let other = judgement VerdictLabel.Idle noon "it idles"

                let judged own before =
                    (ClusterMachines.judge at said [||] [||] own before).Value.Machine

                Expect.equal (judged (ValueSome same) ValueNone).Reason "it computes" "sentence"
                Expect.equal (judged (ValueSome other) ValueNone).Reason "" "none"

                Expect.equal
                    (ClusterMachines.judge at (ValueSome(struct (VerdictLabel.Throttled, 0.9))) [||] [||] (ValueSome other) ValueNone)
                        .Value.Machine.Fix
                    "nvidia-smi -q -d PERFORMANCE says what slows the GPU."
                    "what usually helps"

                Expect.equal (judged (ValueSome other) ValueNone).Label.Name "compute" "label"
                Expect.equal (judged ValueNone ValueNone).Since at "since now"
                Expect.equal (judged ValueNone (ValueSome same)).Since noon "since before"
                Expect.equal (judged ValueNone (ValueSome other)).Since at "another label before"

                Expect.equal
                    (ClusterMachines.judge at ValueNone [||] [||] (ValueSome other) ValueNone).Value.Machine.Label.Name
                    "idle"
                    "where the agent says nothing the dashboard does"

            testCase "headers are read one a line, and what is wrong is said without values"
            <| fun () ->
                Expect.equal
                    (headers "# for the cluster\n\nAuthorization: Bearer a:b\r\nX-Scope-OrgID: 7\n")
                    (Ok [| struct ("Authorization", "Bearer a:b"); struct ("X-Scope-OrgID", "7") |])
                    "two"

                for text, problem in
                    [
                        "", "has no header"
                        "secret", "line 1 is not a header: expected NAME: VALUE"
                        "a b: secret", "line 1 is not a header: expected NAME: VALUE"
                        "# x\nHost: secret", "line 2 sets Host, which the request sets itself"
                        "X-A:", "line 1 has no value for X-A"
                        "X-A: secrét", "line 1 has a value for X-A that is not ASCII"
                        "X-A: 1\nx-a: 2", "has the header X-A twice"
                    ] do
                    Expect.equal (headers text) (Error problem) text

            testCase "a file has as many headers as it may have, and no more"
            <| fun () ->
                let of' count =
                    headers (String.Join('\n', List.init count (fun index -> $"X-{index}: 1")))

                Expect.isOk (of' 32) "32"
                Expect.equal (of' 33) (Error "has more than 32 headers") "33"
        ]
