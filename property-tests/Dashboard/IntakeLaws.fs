/// Laws of what comes in: bodies and command lines.
module Agent.PropertyTests.Dashboard.IntakeLaws

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Receiver
open Agent.PropertyTests
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Expecto
open FsCheck
open FsCheck.FSharp

let private now = DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero)

let private read (body: byte[]) = Intake.decode (ReadOnlyMemory body) now

let private encoded (sample: Sample) =
    let json = JsonText 16
    Wire.writeWithAgent json sample (ReadOnlyMemory "null"B)
    json.Written.ToArray()

let private mutated: Gen<byte[]> =
    gen {
        let! sample = Snapshots.sample
        let body = encoded { sample with CollectedAt = now }
        let! places = upTo 4 (Gen.choose (0, body.Length - 1))
        let! values = Gen.arrayOfLength places.Length (Gen.elements (List.ofSeq "{}[]\",:0-9eE.nNtf\\ x"))
        Array.iter2 (fun place (value: char) -> body[place] <- byte value) places values
        return body
    }

/// What is sent and not what is stored, of the keys that are stored at all.
let rec private lost (path: string) (sent: JsonElement) (stored: JsonElement) : string list =
    match stored.ValueKind with
    | JsonValueKind.Object when sent.ValueKind = JsonValueKind.Object ->
        [
            for entry in stored.EnumerateObject() do
                yield! lost $"{path}.{entry.Name}" (sent.GetProperty entry.Name) entry.Value
        ]
    | JsonValueKind.Array when
        sent.ValueKind = JsonValueKind.Array
        && sent.GetArrayLength() = stored.GetArrayLength()
        ->
        Seq.zip (sent.EnumerateArray()) (stored.EnumerateArray())
        |> Seq.mapi (fun index (sent, stored) -> lost $"{path}[{index}]" sent stored)
        |> List.concat
    | _ when JsonElement.DeepEquals(sent, stored) -> []
    | _ -> [ $"{path}: {sent} is stored as {stored}" ]

let tests =
    testList
        "Intake"
        [
            lawOf wholeCases "any bytes at all give a sample or a refusal, never an exception" anyBytes (fun bytes ->
                match read bytes.Content with
                | Ok _ -> true
                | Error refusal -> refusal.Error <> "")

            lawOf wholeCases "so does a body in which a few characters were exchanged" mutated (fun body ->
                match read body with
                | Ok intake -> intake.Report.CollectedAt <= now + Intake.furthestAhead
                | Error refusal -> refusal.Error.EndsWith '.')

            lawOf wholeCases "what the agent sends is stored as it was sent, without a warning" Snapshots.sample (fun sample ->
                // The one thing that is changed: the texts of a GPU are trimmed and cut as labels are.
                let label text = (Sample.uniqueLabels [| text |])[0]

                let sample =
                    { sample with
                        CollectedAt = now
                        Gpus =
                            sample.Gpus
                            |> Array.map (fun gpu ->
                                { gpu with
                                    Name = label gpu.Name
                                    Uuid = label gpu.Uuid
                                    MigDevices = gpu.MigDevices |> ValueOption.map (Array.distinctBy _.Index)
                                })
                        Interfaces =
                            sample.Interfaces
                            |> Array.distinctBy (fun one -> label one.Counters.Name)
                            |> Array.filter (fun one -> label one.Counters.Name = one.Counters.Name)
                        Infiniband = sample.Infiniband |> Array.distinctBy (fun port -> port.Device, port.Port)
                    }


                let body = encoded sample

                match read body with
                | Error refusal -> failtestf "%A" refusal
                | Ok intake ->
                    use sent = JsonDocument.Parse(ReadOnlyMemory body)
                    use stored = JsonDocument.Parse(Encode.toString 0 (Responses.sample intake.Report))

                    // The highest bit of the mask, which no driver has a meaning for, is the sign of what is kept.
                    let isNews (text: string) = not (text.Contains "bit_63")

                    noneOf (List.filter isNews (List.ofArray intake.Warnings))
                    && noneOf (List.filter isNews (lost "$" (sent.RootElement.GetProperty "sample") stored.RootElement)))

            lawOf wholeCases "a receiver derives from two samples what the agent would" Snapshots.samples (fun (before, sample) ->
                let received (sample: Sample) =
                    match read (encoded sample) with
                    | Ok intake -> (Derivation.measure intake.Report).Sample
                    | Error refusal -> failtestf "%A" refusal

                let start = now.AddHours -1.0

                let before = before |> ValueOption.map (fun before -> { before with CollectedAt = start })

                let sample =
                    { sample with
                        CollectedAt = start.AddSeconds 2.0
                    }

                let ours = Derived.from (ValueOption.map received before) (received sample)
                let theirs = Derived.from before sample

                same ours.Disks theirs.Disks
                && same ours.NetworkReceived theirs.NetworkReceived
                && same (Bottleneck.ofSample (received sample) ours) (Bottleneck.ofSample sample theirs))

            lawOf
                wholeCases
                "instants are read to the microsecond, whatever their offset"
                (Gen.zip Reports.time (Gen.choose (-14 * 60, 14 * 60)))
                (fun (at, minutes) ->
                    let instant = RowKey.instant (at + 86_400_000_000L)
                    let local = instant.ToOffset(TimeSpan.FromMinutes(float minutes))

                    same (Intake.instantOf (local.ToString "yyyy-MM-dd'T'HH:mm:ss.ffffffzzz")) (ValueSome instant)
                    && same (Intake.instantOf (instant.ToString "yyyy-MM-dd HH:mm:ss.ffffff")) (ValueSome instant))

            lawOf wholeCases "any words at all give a command or sentences, never an exception" (upTo 5 anyText) (fun words ->
                match DashboardCli.parse (Array.append [| "serve" |] words) with
                | Ok _ -> true
                | Error errors -> errors.Length > 0 && errors |> Array.forall (fun error -> error.Message <> ""))
        ]
