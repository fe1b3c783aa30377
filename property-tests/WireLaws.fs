/// Laws of the request body.
module Agent.PropertyTests.WireLaws

open System
open System.Buffers
open System.Text
open System.Text.Json
open System.Text.Json.Nodes
open Agent.Build
open Agent.Core
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Agent.TestSupport
open Expecto
open FsCheck
open FsCheck.FSharp
open Microsoft.FSharp.Reflection

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

/// Samples of machines with and without jobs.
let private sample: Gen<Sample> =
    Gen.map2 (fun sample report -> { sample with Jobs = report }) sample (maybe VerdictLaws.report)

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

let private written (table: Table<'T>) (value: 'T) : string =
    let json = JsonText 16
    table.Write(json, value)
    Encoding.UTF8.GetString json.Written.Span

let private bytesOf (indented: bool) (sample: Sample, agent: AgentInfo) : byte[] =
    let output = ArrayBufferWriter<byte>()
    Wire.write output indented sample agent
    output.WrittenSpan.ToArray()

let private schema = lazy (JsonDocument.Parse(KeyDocs.schema Wire.body).RootElement)

let private isAsSchemaSays (json: byte[]) : bool =
    noneOf (JsonSchema.faultsOf schema.Value json)

/// The value with one field after the other as the other value has it, where that makes a difference.
let rec private crossings (kind: Type) (one: objnull) (other: objnull) : (string * objnull) list =
    if FSharpType.IsRecord kind then
        [
            // Columns of the kernel's files that only metrics tell, and who only draws on a GPU, are not in the JSON.
            for index, field in
                Seq.indexed (FSharpType.GetRecordFields kind)
                |> Seq.filter (fun (_, field) -> field.Name <> "Detail" && field.Name <> "GraphicsProcesses") do
                let mixed = FSharpValue.GetRecordFields(nonNull one)

                for name, value in crossings field.PropertyType mixed[index] (FSharpValue.GetRecordField(nonNull other, field)) do
                    $"{field.Name}.{name}", FSharpValue.MakeRecord(kind, Array.updateAt index value mixed)
        ]
    elif kind.IsGenericType && kind.GetGenericTypeDefinition() = typedefof<int voption> then
        match FSharpValue.GetUnionFields(one, kind), FSharpValue.GetUnionFields(other, kind) with
        | (case, [| one |]), (_, [| other |]) ->
            [
                for name, value in crossings kind.GenericTypeArguments[0] one other do
                    name, FSharpValue.MakeUnion(case, [| value |])
            ]
        | _ ->
            [
                if one <> other then
                    "", other
            ]
    else
        [
            if one <> other then
                "", other
        ]

/// The fields of which nothing is written, by the first entries of each: the others are written by the same rows.
let private lost (table: Table<'T>) (ones: 'T[]) (others: 'T[]) : string list =
    [
        for one, other in Seq.zip ones others |> Seq.truncate 1 do
            let text = written table one

            for name, mixed in crossings typeof<'T> (box one) (box other) do
                if written table (unbox mixed) = text then
                    $"{table.Keys.Name}: {name}"
    ]

/// False for what is known of GPUs for metrics alone.
let private isTold (complaint: string) =
    complaint <> "gpu: DriverVersion."
    && complaint <> "mig_device: MemoryFree."
    && not (complaint.StartsWith("gpu: Counters.", StringComparison.Ordinal))

let private processesOf (sample: Sample) =
    sample.Gpus
    |> Array.collect (fun gpu -> gpu.ComputeProcesses |> ValueOption.defaultValue [||])

let private jobsOf (sample: Sample) =
    match sample.Jobs with
    | ValueSome report -> report.Jobs
    | ValueNone -> [||]

let private migDevicesOf (sample: Sample) =
    sample.Gpus
    |> Array.collect (fun gpu -> gpu.MigDevices |> ValueOption.defaultValue [||])

let tests =
    testList
        "Wire"
        [
            lawOf (wholeCases / 10) "samples that differ in a field are written differently" (Gen.two sample) (fun (one, other) ->
                noneOf (
                    List.concat
                        [
                            lost Rows.sample [| one |] [| other |]
                            lost Rows.disk one.Disks other.Disks
                            lost Rows.gpu one.Gpus other.Gpus |> List.filter isTold
                            lost Rows.computeProcess (processesOf one) (processesOf other)
                            lost Rows.migDevice (migDevicesOf one) (migDevicesOf other)
                            |> List.filter isTold
                            lost Rows.fan one.Fans other.Fans
                            lost Rows.networkInterface one.Interfaces other.Interfaces
                            lost Rows.infinibandPort one.Infiniband other.Infiniband
                            lost JobRows.job (jobsOf one) (jobsOf other)
                        ]
                ))
            lawOf (wholeCases / 10) "agents that differ in a field are written differently" (Gen.two agent) (fun (one, other) ->
                noneOf (
                    List.concat
                        [
                            lost Rows.agent [| one |] [| other |]
                            lost Rows.partition one.System.Partitions other.System.Partitions
                            lost Rows.interfaceAddress one.System.Interfaces other.System.Interfaces
                        ]
                ))
            lawOf wholeCases "a body is as the JSON schema says" body (fun body -> isAsSchemaSays (bytesOf false body))
            lawOf wholeCases "indented and plain are the same body" body (fun body ->
                let reread = JsonNode.Parse(ReadOnlySpan(bytesOf true body)) |> nonNull
                JsonNode.DeepEquals(reread, JsonNode.Parse(ReadOnlySpan(bytesOf false body))))
            lawOf wholeCases "a body never contains NaN, infinity, duplicate keys or integers beyond 64 bits" body (fun body ->
                noneOf (JsonLaws.faultsOf (bytesOf false body)))
            lawOf
                wholeCases
                "not even a sample that no source could give is written as JSON that the webapp refuses"
                (Gen.zip wildSample agent)
                (fun body ->
                    let json = bytesOf false body
                    noneOf (JsonLaws.faultsOf json) && isAsSchemaSays json)
            lawOf wholeCases "a body is one line, and its agent has at most 25 keys" body (fun body ->
                let json = bytesOf false body
                use document = JsonDocument.Parse(ReadOnlyMemory json)
                let agent = document.RootElement.GetProperty "agent"
                Array.IndexOf(json, '\n'B) < 0 && Seq.length (agent.EnumerateObject()) <= 25)
            lawOf wholeCases "an instant is RFC 3339 in UTC with six decimals" sample (fun sample ->
                let text = Wire.instant (sample.CollectedAt.ToOffset(TimeSpan.FromHours 5.5))

                text.Length = "2026-02-26T02:37:49.120000+00:00".Length
                && text.EndsWith("+00:00", StringComparison.Ordinal)
                && DateTimeOffset.Parse(text, Globalization.CultureInfo.InvariantCulture) = sample.CollectedAt)
        ]
