/// Laws of the metrics: what they promise whatever was read.
module Agent.PropertyTests.ExpositionLaws

open System
open System.Buffers
open System.Text
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Core.Units
open Agent.PropertyTests.Generators
open Agent.PropertyTests.Laws
open Agent.PropertyTests.Snapshots
open Agent.TestSupport
open Agent.TestSupport.PrometheusText
open Expecto
open FsCheck
open FsCheck.FSharp

/// Any text that a label may get from outside, well-formed or not.
let private label: Gen<string> =
    Gen.frequency
        [
            2, phrase
            1,
            Gen.elements
                [
                    ""
                    "\\"
                    "\""
                    "\n"
                    "a\\nb"
                    "\",x=\""
                    "}"
                    "é — 𝄞"
                    "\ud800"
                    "\udc00x"
                    "\000"
                    "# EOF"
                ]
            1, Gen.map2 (+) phrase (Gen.elements [ "\\"; "\"\n"; "\r" ])
        ]

/// Lines of /proc/diskstats and /proc/net/dev with any name that has no blank, and any number of columns.
let private deviceLine (before: string) (after: string) (columns: int) : Gen<string> =
    gen {
        let! name = Gen.elements [ "sda"; "vda"; "dm-0"; "nvme0n1"; "eth0"; "ib0:1"; "x\"y"; "a\\b"; "loop0" ]
        let! numbers = Gen.listOfLength columns counter
        let! kept = Gen.frequency [ 8, Gen.constant columns; 1, Gen.choose (0, columns) ]
        return before + name + after + String.Join(' ', List.truncate kept numbers)
    }

let private lines (line: Gen<string>) : Gen<ReadOnlyMemory<byte>> =
    upTo 4 line |> Gen.map (bytesOf >> ReadOnlyMemory)

/// The files of the kernel that metrics tell more of than a sample does.
type private Texts =
    {
        Stat: ReadOnlyMemory<byte>
        Memory: ReadOnlyMemory<byte>
        Disks: ReadOnlyMemory<byte>
        Network: ReadOnlyMemory<byte>
    }

let private textsOf (text: Gen<ReadOnlyMemory<byte>> -> Gen<ReadOnlyMemory<byte>>) : Gen<Texts> =
    gen {
        let! stat =
            text (
                lines
                <| Gen.map2
                    (fun word number -> $"{word} {number}")
                    (Gen.elements [ "ctxt"; "intr"; "processes"; "procs_running"; "procs_blocked"; "btime" ])
                    counter
            )

        let! memory =
            text (
                lines
                <| Gen.map3
                    (fun key number unit -> $"{key}: {number}{unit}")
                    (Gen.elements
                        [
                            "MemTotal"
                            "Active"
                            "Active(anon)"
                            "HugePages_Total"
                            "New(field)"
                            "x y"
                            "é"
                            ""
                        ])
                    counter
                    (Gen.elements [ " kB"; ""; " MB" ])
            )

        let! disks = text (lines (deviceLine " 8 0 " " " 17))
        let! network = text (lines (deviceLine "  " ": " 16))

        return
            {
                Stat = stat
                Memory = memory
                Disks = disks
                Network = network
            }
    }

let private filesystem: Gen<FilesystemState> =
    gen {
        let! device = label
        let! mount = label
        let! total = counter
        let! used = counter

        return
            {
                Device = device
                MountPoint = mount
                FsType = "ext4"
                IsReadOnly = used > total
                Counts =
                    if used > total then
                        ValueNone
                    else
                        ValueSome
                            {
                                Size = LanguagePrimitives.UInt64WithMeasure total
                                Free = LanguagePrimitives.UInt64WithMeasure(total - used)
                                Available = 0UL<B>
                                Files = used
                                FilesFree = 0UL
                            }
            }
    }

let private options: SampleOptions =
    {
        Disks = [||]
        Interfaces = [||]
        CpuWindow = TimeSpan.Zero
    }

let private temperature: Gen<Sys.Hwmon.Temperature> =
    gen {
        let! place = label
        let! chip = label
        let! name = label
        let! celsius = Gen.choose (-20, 110)

        return
            {
                Place = place
                Chip = chip
                Label = name
                Celsius = LanguagePrimitives.FloatWithMeasure(float celsius)
            }
    }

/// The reading of a machine whose files are these.
let private withTexts (texts: Texts) (reading: MachineReading) : MachineReading =
    let told (result: Result<Parsed<'value>, ParseError>) =
        match result with
        | Ok parsed -> Ok parsed.Value
        | Error error -> Error(SourceError.Garbled error)

    let cpus = "cpu 1 2 3 4\n"B

    { reading with
        MemoryText = texts.Memory
        Snapshot =
            { reading.Snapshot with
                Stat = told (Proc.Stat.parse (ReadOnlySpan(Array.append cpus (texts.Stat.ToArray()))))
                Disks = told (Proc.DiskStats.parse texts.Disks.Span)
                Network = told (Proc.NetDev.parse (ReadOnlySpan(Array.append "Inter-|\n face |bytes\n"B (texts.Network.ToArray()))))
            }
    }

let private readingOf (before: Snapshot voption) (snapshot: Snapshot) : Gen<MachineReading> =
    gen {
        let! filesystems = upTo 3 filesystem
        let! hostname = label
        let! version = label
        let! domain = label
        let! temperatures = upTo 4 temperature

        return
            {
                Snapshot = snapshot
                Sample = Sample.build options before snapshot
                Previous = before |> ValueOption.map (Sample.build options ValueNone)
                MemoryText = ReadOnlyMemory.Empty
                Temperatures = temperatures
                System =
                    { SystemInfo.unknown with
                        OsName = "Linux"
                        OsVersion = version
                    }
                DomainName = domain
                Hostname = hostname
                Disks = [||]
                Interfaces = [||]
                Accounts = JobAccounts.Empty
                MachineJob = ""
                GpuJobs = [||]
                GpuWork = [||]
                Filesystems = filesystems
                Collectors = [||]
                PageSize = 4096UL<B>
            }
    }

let agent: AgentState =
    {
        Version = "1"
        Taken = 1L
        Skipped = 0L
        Failures = 0L
        Sources = [||]
        Destinations = [||]
    }

let private write (format: ExpositionFormat) (reading: MachineReading) : byte[] =
    let output = ArrayBufferWriter<byte>()
    Exposition.write output format (ValueSome reading) agent
    output.WrittenSpan.ToArray()

let private samples (families: Family list) =
    families |> List.collect (fun family -> family.Samples)

/// What the text format says.
let textSamples (reading: MachineReading) : Sample list =
    samples (readText (ReadOnlySpan(write ExpositionFormat.Text reading)))

/// What is left of a text in UTF-8.
let private asUtf8 (text: string) =
    Encoding.UTF8.GetString(Encoding.UTF8.GetBytes text)

/// The same files a little later: every number has grown or stayed.
let private grown (by: uint64) (texts: Texts) : Texts =
    let later (text: ReadOnlyMemory<byte>) =
        let lines = Encoding.Latin1.GetString(text.Span).Split '\n'

        let grow (word: string) =
            match UInt64.TryParse word with
            | true, number when number < UInt64.MaxValue - by && word.Length > 1 -> string (number + by)
            | _ -> word

        lines
        |> Array.map (fun line -> String.Join(' ', line.Split ' ' |> Array.map grow))
        |> String.concat "\n"
        |> Encoding.Latin1.GetBytes
        |> ReadOnlyMemory

    { texts with
        Stat = later texts.Stat
        Disks = later texts.Disks
        Network = later texts.Network
    }

let machine: Gen<MachineReading> = Gen.bind (fun (before, snapshot) -> readingOf before snapshot) pair

/// Whatever the kernel's texts hold.
let reading: Gen<MachineReading> =
    Gen.map2
        withTexts
        (textsOf (fun text -> Gen.frequency [ 8, text; 1, anyBytes |> Gen.map (fun bytes -> ReadOnlyMemory bytes.Content) ]))
        machine

let tests =
    testList
        "Exposition"
        [
            lawOf (wholeCases / 20) "what is written as text reads back by Prometheus's grammar, each series once" reading (fun reading ->
                not (List.isEmpty (readText (ReadOnlySpan(write ExpositionFormat.Text reading)))))

            lawOf (wholeCases / 20) "OpenMetrics says the same as the text format" reading (fun reading ->
                let openMetrics = readOpenMetrics (ReadOnlySpan(write ExpositionFormat.OpenMetrics reading))

                same (samples openMetrics) (samples (readText (ReadOnlySpan(write ExpositionFormat.Text reading)))))

            lawOf (wholeCases / 20) "any label text comes back as it was" (Gen.zip reading label) (fun (reading, name) ->
                let written =
                    write
                        ExpositionFormat.Text
                        { reading with
                            System = { reading.System with Hostname = name }
                        }

                let uname =
                    readText (ReadOnlySpan written)
                    |> List.find (fun family -> family.Name = "node_uname_info")

                List.contains ("nodename", asUtf8 name) uname.Samples[0].Labels)

            lawOf
                (wholeCases / 20)
                "counters do not fall while the kernel's do not"
                (Gen.zip3 machine (textsOf id) counter)
                (fun (reading, texts, by) ->
                    let counters reading =
                        readText (ReadOnlySpan(write ExpositionFormat.Text reading))
                        |> List.filter (fun family -> family.Type = "counter")
                        |> samples
                        |> List.map (fun sample -> (sample.Name, sample.Labels), sample.Value)

                    let after = Map.ofList (counters (withTexts (grown by texts) reading))

                    counters (withTexts texts reading)
                    |> List.forall (fun (series, value) ->
                        match Map.tryFind series after with
                        | Some later -> later >= value
                        | None -> false))

            lawOf
                wholeCases
                "any bytes are a request within what was received, or the start of one, or are told why not"
                anyBytes
                (fun bytes ->
                    match Scrape.read (ReadOnlySpan bytes.Content) with
                    | ScrapeInput.Request request -> request.Length <= bytes.Content.Length
                    | ScrapeInput.Incomplete -> bytes.Content.Length < Scrape.LongestRequest
                    | ScrapeInput.Bad(status, reason) -> status >= 400 && reason <> "")
        ]
