/// Laws of the request body.
module Agent.PropertyTests.WireLaws

open System
open System.Text
open System.Text.Json
open Agent.Core
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Expecto
open FsCheck
open FsCheck.FSharp

let private storable: Gen<uint64> = counter |> Gen.map (min 9223372036854775807UL)

let private partition: Gen<Partition> =
    gen {
        let! device = anyText
        let! point = anyText
        let! kind = word
        let! total, used, free = Gen.three storable
        let! percent = percentage

        return
            {
                Device = device
                MountPoint = point
                FsType = kind
                Total = LanguagePrimitives.UInt64WithMeasure total
                Used = LanguagePrimitives.UInt64WithMeasure used
                Free = LanguagePrimitives.UInt64WithMeasure free
                Percent = LanguagePrimitives.FloatWithMeasure percent
            }
    }

let private address: Gen<InterfaceAddress> =
    Gen.zip3 word (Gen.elements [ ""; "10.0.0.7" ]) (Gen.elements [ ""; "fe80::1" ])
    |> Gen.map (fun (name, ipv4, ipv6) ->
        {
            Name = name
            IPv4 = ipv4
            IPv6 = ipv6
        })

let private systemInfo: Gen<SystemInfo> =
    gen {
        let! osName, release, machine = Gen.three word
        let! version, model, hostname = Gen.three anyText
        let! libC = Gen.elements [ ""; "glibc2.36"; "musl1.2.5" ]
        let! logical = maybe (Gen.choose (1, 512))
        let! physical = maybe (Gen.choose (1, 256))
        let! memory = maybe storable
        let! swap = maybe storable
        let! boot = maybe (Gen.choose64 (0L, 253402300799L))
        let! uptime = maybe (hundredths Int32.MaxValue)
        let! partitions = upTo 3 partition
        let! interfaces = upTo 3 address

        return
            {
                OsName = osName
                OsRelease = release
                OsVersion = version
                Machine = machine
                LibC = libC
                CpuModel = model
                Hostname = hostname
                CpuCountLogical = logical
                CpuCountPhysical = physical
                MemoryTotal = memory |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                SwapTotal = swap |> ValueOption.map LanguagePrimitives.UInt64WithMeasure
                BootTime = boot |> ValueOption.map DateTimeOffset.FromUnixTimeSeconds
                Uptime =
                    uptime
                    |> ValueOption.map (fun (struct (value, _)) -> LanguagePrimitives.FloatWithMeasure value)
                Partitions = partitions
                NetworkPartitions = [||]
                Interfaces = interfaces
            }
    }

let private agent: Gen<AgentInfo> =
    gen {
        let! version, runtime = Gen.two word
        let! hostname = anyText
        let! pid = Gen.choose (1, Int32.MaxValue)
        let! labels = upTo 4 (Gen.zip anyText anyText)
        let! filters = upTo 3 anyText
        let! system = systemInfo

        return
            {
                Version = version
                Hostname = hostname
                Pid = pid
                Labels =
                    labels
                    |> Array.distinctBy fst
                    |> Array.map (fun (key, value) -> struct (key, value))
                DiskFilters = filters
                Runtime = runtime
                System = system
            }
    }

let private body = Gen.zip sample agent

/// A sample that no source could give: numbers that JSON does not have, and counters beyond the webapp's.
let private wildSample: Gen<Sample> =
    gen {
        let! sample = sample
        let! wild = Gen.elements [ nan; infinity; -infinity; 1e300 ]
        let! counter = counter
        let percent = ValueSome(LanguagePrimitives.FloatWithMeasure<percent> wild)
        let bytes = ValueSome(LanguagePrimitives.UInt64WithMeasure<B> counter)

        return
            { sample with
                CpuUsage = percent
                CpuSteal = percent
                CpuCores = [| ValueSome(LanguagePrimitives.FloatWithMeasure wild); ValueNone |]
                CpuFrequency = ValueSome(LanguagePrimitives.FloatWithMeasure wild)
                NetworkReceived = bytes
                NetworkSent = bytes
                Load =
                    ValueSome
                        {
                            One = wild
                            Five = wild
                            Fifteen = wild
                        }
                Gpus =
                    sample.Gpus
                    |> Array.map (fun gpu ->
                        { gpu with
                            Utilization = percent
                            MemoryTotal = bytes
                        })
            }
    }

/// What the JSON has no keys for.
let private carried (sample: Sample) : Sample =
    { sample with
        Disks = sample.Disks |> Array.map (fun disk -> { disk with Detail = ValueNone })
        Interfaces =
            sample.Interfaces
            |> Array.map (fun use' ->
                { use' with
                    Counters =
                        { use'.Counters with
                            Detail = ValueNone
                        }
                })
    }

let private decoded decoder (json: JsonValue) =
    Decode.fromBytes decoder (ReadOnlyMemory(JsonLaws.bytesOf false json))

let tests =
    testList
        "Wire"
        [
            lawOf wholeCases "decode (encode sample) = sample" sample (fun sample ->
                same (decoded Wire.decodeSample (Wire.encodeSample sample)) (Ok(carried sample)))
            lawOf wholeCases "decode (encode agent) = agent" agent (fun agent ->
                same (decoded Wire.decodeAgent (Wire.encodeAgent agent)) (Ok agent))
            lawOf
                wholeCases
                "decode (encode body) = body, indented or not"
                (Gen.zip body (Gen.elements [ true; false ]))
                (fun ((sample, agent), indented) ->
                    let json = JsonLaws.bytesOf indented (Wire.encode sample agent)
                    same (Decode.fromBytes Wire.decode (ReadOnlyMemory json)) (Ok(carried sample, agent)))
            lawOf wholeCases "a body never contains NaN, infinity, duplicate keys or integers beyond 64 bits" body (fun (sample, agent) ->
                noneOf (JsonLaws.faultsOf (JsonLaws.bytesOf false (Wire.encode sample agent))))
            lawOf
                wholeCases
                "not even a sample that no source could give is written as JSON that the webapp refuses"
                wildSample
                (fun sample -> noneOf (JsonLaws.faultsOf (JsonLaws.bytesOf false (Wire.encodeSample sample))))
            lawOf wholeCases "a body is one line, and one object of a sample and an agent of at most 25 keys" body (fun (sample, agent) ->
                let json = JsonLaws.bytesOf false (Wire.encode sample agent)
                use document = JsonDocument.Parse(ReadOnlyMemory json)

                let keys (element: JsonElement) =
                    [ for property in element.EnumerateObject() -> property.Name ]

                Array.IndexOf(json, '\n'B) < 0
                && keys document.RootElement = [ "sample"; "agent" ]
                && (keys (document.RootElement.GetProperty "agent")).Length <= 25)
            lawOf wholeCases "a body with an agent that was encoded before is the same body" body (fun (sample, agent) ->
                let output = JsonText 16
                Wire.writeWithAgent output sample (Wire.agentText agent)
                output.Written.Span.SequenceEqual(ReadOnlySpan(JsonLaws.bytesOf false (Wire.encode sample agent))))
            lawOf wholeCases "an instant is RFC 3339 in UTC with six decimals" sample (fun sample ->
                let text = Wire.instant (sample.CollectedAt.ToOffset(TimeSpan.FromHours 5.5))

                text.Length = "2026-02-26T02:37:49.120000+00:00".Length
                && text.EndsWith("+00:00", StringComparison.Ordinal)
                && DateTimeOffset.Parse(text, Globalization.CultureInfo.InvariantCulture) = sample.CollectedAt)
            lawShrinking "any bytes at all decode to Ok or an Error, never an exception" shrinkBytes JsonLaws.anyJson (fun bytes ->
                match Decode.fromBytes Wire.decode (ReadOnlyMemory bytes.Content) with
                | Ok _ -> true
                | Error error ->
                    (Decode.errorToString error).StartsWith('$')
                    || (Decode.errorToString error).StartsWith "not JSON")
            lawShrinkingOf
                wholeCases
                "a body with some damage decodes to Ok or an Error, never an exception"
                shrinkBytes
                (body
                 |> Gen.map (fun (sample, agent) ->
                     {
                         Value = ()
                         Lines = [| Encoding.UTF8.GetString(JsonLaws.bytesOf false (Wire.encode sample agent)) |]
                     })
                 |> damaged)
                (fun bytes ->
                    match Decode.fromBytes Wire.decode (ReadOnlyMemory bytes.Content) with
                    | Ok _ -> true
                    | Error error -> (Decode.errorToString error).Length > 0)
        ]
