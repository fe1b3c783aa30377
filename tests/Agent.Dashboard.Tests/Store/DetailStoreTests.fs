/// How long a large machine's histories take, over all that is kept.
module Agent.Dashboard.Tests.DetailStoreTests

open System
open System.Buffers
open System.Runtime.InteropServices
open System.Text
open System.Text.Json
open Agent.Receiver
open Agent.Dashboard.Store
open Agent.Dashboard.Tests.StoreTests
open Agent.TestSupport
open Agent.TestSupport.DashboardProcess
open Agent.TestSupport.Waiting
open Expecto

/// struct timespec of clock_gettime(2).
[<Struct; StructLayout(LayoutKind.Sequential)>]
type private Timespec = { Seconds: int64; Nanoseconds: int64 }

[<DllImport("libc", SetLastError = true)>]
extern int private clock_gettime(int clock, Timespec& time)

/// CLOCK_THREAD_CPUTIME_ID.
let private threadCpuTime = 3

/// What this thread has computed so far, ms. Other tests run at the same time, and what they take from this one is not its cost.
let private computed () : float =
    let mutable time = { Seconds = 0L; Nanoseconds = 0L }
    Expect.equal (clock_gettime (threadCpuTime, &time)) 0 "clock_gettime"
    float time.Seconds * 1e3 + float time.Nanoseconds / 1e6

let private joined (count: int) (entry: int -> string) =
    Seq.init count entry |> String.concat ","

let private gpus = 16
let private disks = 16
let private cores = 128

/// A sample of a machine with 16 GPUs, 16 disks, 128 CPUs and 8 interfaces after so many steps of two seconds.
let private sampleAt (step: int) : Report =
    let grown (rate: int64) = 1_000_000_000L + rate * int64 step

    let disk i =
        $"{{\"device\":\"nvme{i}n1\",\"read_bytes_total\":{grown 512_000_000L},\"write_bytes_total\":{grown 4_096_000L},\"read_count_total\":{grown 9000L},\"write_count_total\":{grown 900L},\"busy_time_ms_total\":{grown 700L}}}"

    let gpu i =
        $"{{\"gpu_index\":{i},\"name\":\"NVIDIA H100\",\"uuid\":\"GPU-{i}\",\"utilization_gpu_percent\":{90 + (i + step) % 9},\"memory_percent\":87.1,\"temperature_c\":{61 + (i + step) % 5},\"power_w\":{650 + (7 * step + i) % 40},\"power_limit_w\":700,\"xid_count\":0,\"clock_sm_mhz\":{1900 + (15 * step + i) % 75},\"clock_memory_mhz\":2619,\"pcie_rx_bytes_per_s\":{1_200_000_000 + 1024 * (step % 1000 + i)},\"pcie_tx_bytes_per_s\":{300_000_000 + 1024 * (step % 999)},\"pcie_link_gen\":5,\"pcie_link_width\":16,\"ecc_uncorrected_total\":0,\"ecc_corrected_total\":0,\"energy_mj_total\":{grown 1_300_000L},\"nvlink_rx_bytes_total\":{grown 40_000_000_000L},\"nvlink_tx_bytes_total\":{grown 40_000_000_000L},\"memory_temperature_c\":{72 + (i + step) % 4}}}"

    let interface' i =
        $"{{\"name\":\"eth{i}\",\"rx_bytes_total\":{grown 200_000_000L},\"tx_bytes_total\":{grown 200_000_000L},\"rx_packets_total\":{grown 90_000L},\"tx_packets_total\":{grown 90_000L},\"rx_errors_total\":0,\"tx_errors_total\":0,\"rx_dropped_total\":12,\"tx_dropped_total\":0}}"

    let core i =
        $"{(13 * i + 7 * step) % 100}.{(i + step) % 10}"

    let at = Agent.Core.Wire.instant (noon.AddSeconds(-3600.0 + 2.0 * float step))

    let body =
        $"{{\"collected_at\":\"{at}\",\"cpu_usage_percent\":38.1,\"disks\":[{joined disks disk}],\"gpus\":[{joined gpus gpu}],\"cpu_cores_percent\":[{joined cores core}],\"network_interfaces\":[{joined 8 interface'}]}}"

    match Intake.decode (ReadOnlyMemory(Encoding.UTF8.GetBytes body)) noon with
    | Ok intake -> intake.Report
    | Error refusal -> failtest $"{refusal.Error} {refusal.Detail}"

/// A minute of them, from so many different ones.
let private minute (first: int) : Rollup =
    let reports = Array.init 30 (fun step -> sampleAt (30 * first + step))
    let builder = RollupBuilder(Layout.ofReport reports[0])
    let mutable before = ValueNone

    for report in reports do
        let derivation = Derivation.between before (Derivation.measure report)
        builder.Add(Point.ofReport builder.Layout report derivation.Rates (Derivation.labelCode derivation))
        before <- ValueSome derivation.Measured

    builder.Rollup

/// Fourteen days of minutes.
let private fill (path: string) =
    use connection = opened path (SetClock noon)
    use layouts = new Layouts(connection)
    let rollups = Array.init 20 minute
    let last = RowKey.minuteAt (RowKey.microseconds noon)

    Database.Transact(
        connection,
        SetClock noon,
        fun () ->
            Registrations.Save(connection, registration 1 "gpu-1")

            use insert =
                new Statement(connection, "INSERT INTO minute (key, layout, samples, figures, details) VALUES (?1, ?2, ?3, ?4, ?5)")

            let packed =
                rollups
                |> Array.map (fun rollup -> layouts.Identify rollup.Layout, Rollup.pack rollup, Rollup.packDetails rollup)

            for ago in 20159..-1..0 do
                let layout, figures, details = packed[ago % packed.Length]

                insert
                    .Bind(1, RowKey.minute 1 (last - int64 ago))
                    .Bind(2, int64 layout)
                    .Bind(3, 30L)
                    .Bind(4, figures)
                    .Bind(5, details)
                    .Run()

            0
    )
    |> ignore

[<Tests>]
let tests =
    testList
        "Details of a large machine"
        [
            testCase "over 14 days each kind is read within its limit, and by quarters of an hour in less than half the time"
            <| fun () ->
                use place = new TemporaryDirectory()
                let path = place.File "a.db"
                fill path
                let now = RowKey.microseconds noon
                let from = now - 20160L * RowKey.MicrosecondsPerMinute
                let output = ArrayBufferWriter<byte>()

                let timed (make: unit -> unit) : float =
                    let once () =
                        output.ResetWrittenCount()
                        let before = computed ()
                        make ()
                        computed () - before

                    List.min [ for _ in 1..3 -> once () ]

                /// Milliseconds of each answer.
                let all (what: string) : (string * float) list =
                    use reader = new Reader(path, 48)

                    let read (kind: string) (make: unit -> unit) (devices: JsonElement -> JsonElement) (expected: int) =
                        let taken = timed make
                        printfn $"%s{kind} by %s{what}: %.0f{taken} ms, {output.WrittenCount / 1024} KiB"
                        use document = JsonDocument.Parse output.WrittenMemory
                        Expect.equal ((devices document.RootElement).GetArrayLength()) expected kind
                        kind, taken

                    [
                        read
                            "main"
                            (fun () -> Responses.historyDeltasInto output "gpu-1" (reader.Read(1, from, now, now)))
                            _.GetProperty("gpus")
                            gpus

                        for kind, devices in [ "gpus", gpus; "cpu_cores", cores; "network_interfaces", 8 ] do
                            let position = Details.positionOf kind

                            read
                                kind
                                (fun () -> Responses.detailsInto output "gpu-1" true (reader.ReadDetails(1, position, from, now, now)))
                                _.GetProperty("devices")
                                devices
                    ]

                let byMinutes = all "minutes"

                for kind, taken in byMinutes do
                    // Of a build without optimisations, on a machine that others use.
                    Expect.isLessThan taken Histories.MostWork.TotalMilliseconds $"{kind}: milliseconds"

                (use store = new Store(path, SetClock(noon.AddMinutes 1.0))
                 eventually (TimeSpan.FromMinutes 2.0) "all quarters" (fun () -> store.Ask "SELECT count(*) FROM quarter" >= 1343L))

                for (kind, before), (_, after) in List.zip byMinutes (all "quarters") do
                    Expect.isLessThan after (before / 2.0) $"{kind}: milliseconds"
        ]
