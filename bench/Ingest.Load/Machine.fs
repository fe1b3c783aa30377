/// A machine that trains: what its agent would post, sample after sample, with figures that wander as real ones do.
module Ingest.Load.Machine

open System
open System.Text
open Ingest.Load.Text

/// How a figure goes on from sample to sample.
type private Course =
    /// Moves by at most `step`, between 0 and `limit`.
    | Wanders of start: int64 * step: int64 * limit: int64
    /// A counter: grows by less than `step`.
    | Grows of start: int64 * step: int64
    /// Follows from the figure of that name.
    | Follows of name: string * rule: (int64 -> int64)

type private Shape =
    | Whole
    | Tenths
    | Hundredths
    /// Counted in units of that many.
    | Times of int64

/// A figure and the text before it.
type private Figure =
    {
        Before: byte[]
        Name: string
        Shape: Shape
        Course: Course
    }

let private memoryPages = 132_065_641L

let private gpuMebibytes = 81_920L

/// The agent's member, which is the same in every sample, with the length it has on a machine of this kind.
let private agent =
    """"agent":{"version":"0.1.0","hostname":"trainer-07","platform":"Linux-6.8.0-45-generic-x86_64-with-glibc2.39","""
    + """"pid":1873,"labels":{"rack":"r1","role":"trainer"},"disk_filters":[],"runtime":".NET 10.0.1","system_info":{"""
    + """"os_name":"Linux","os_release":"6.8.0-45-generic","os_version":"#45-Ubuntu SMP PREEMPT_DYNAMIC","""
    + """"machine":"x86_64","processor":"AMD EPYC 7543 32-Core Processor","cpu_model":"AMD EPYC 7543 32-Core Processor","""
    + """"hostname":"trainer-07","cpu_count_logical":32,"cpu_count_physical":32,"memory_total_bytes":540940865536,"""
    + """"swap_total_bytes":8589930496,"boot_time":"2026-10-30T06:12:44.000000+00:00","uptime_seconds":2190000.0,"""
    + """"platform_full":"Linux-6.8.0-45-generic-x86_64-with-glibc2.39","partitions":[{"device":"/dev/nvme0n1p2","""
    + """"mountpoint":"/","fstype":"ext4","total_bytes":1967317549056,"used_bytes":611226075136,"free_bytes":1256080883712,"""
    + """"percent":32.7},{"device":"/dev/nvme1n1p1","mountpoint":"/data","fstype":"xfs","total_bytes":3840755982336,"""
    + """"used_bytes":2992410460160,"free_bytes":848345522176,"percent":77.9}],"interfaces":[{"name":"eth0","""
    + """"ipv4":"10.0.0.17","ipv6":null},{"name":"eth1","ipv4":"10.0.1.17","ipv6":"fe80::1"}]}}}"""

/// The sample's text, as the agent writes it, from figure to figure, and what comes after the last: two disks, four GPUs,
/// 32 cores.
let private figuresAndRest: Figure[] * string =
    let parts = ResizeArray<Figure>()
    let pending = StringBuilder()

    let text (piece: string) = pending.Append piece |> ignore

    let put shape name course =
        parts.Add
            {
                Before = Encoding.UTF8.GetBytes(string pending)
                Name = name
                Shape = shape
                Course = course
            }

        pending.Clear() |> ignore

    let key separator name = text $"%s{separator}\"%s{name}\":"

    let figure shape name course =
        key "," name
        put shape name course

    let each (items: string list) (write: int -> string -> unit) =
        items
        |> List.iteri (fun i item ->
            text (if i = 0 then "{" else ",{")
            write i item
            text "}")

    text "\""
    figure Tenths "cpu_usage_percent" (Wanders(380L, 40L, 1000L))
    figure Tenths "cpu_user_percent" (Follows("cpu_usage_percent", (fun usage -> usage * 8L / 10L)))
    figure Tenths "cpu_system_percent" (Wanders(45L, 10L, 200L))
    figure Tenths "cpu_iowait_percent" (Wanders(12L, 6L, 100L))
    figure Hundredths "cpu_load_1" (Wanders(1220L, 30L, 6400L))
    figure Hundredths "cpu_load_5" (Wanders(1180L, 10L, 6400L))
    figure Hundredths "cpu_load_15" (Wanders(1100L, 3L, 6400L))
    figure Whole "cpu_frequency_mhz" (Wanders(2795L, 60L, 3700L))
    figure Tenths "cpu_temperature_c" (Wanders(612L, 5L, 950L))
    text $",\"cpu_count_logical\":32,\"cpu_count_physical\":32,\"memory_total_bytes\":%d{memoryPages * 4096L}"
    figure (Times 4096L) "memory_used_bytes" (Wanders(48_000_000L, 10_000L, memoryPages))
    figure (Times 4096L) "memory_available_bytes" (Follows("memory_used_bytes", (fun used -> memoryPages - used)))
    figure Tenths "memory_percent" (Follows("memory_used_bytes", (fun used -> used * 1000L / memoryPages)))
    text ",\"swap_total_bytes\":8589930496,\"swap_used_bytes\":0,\"swap_percent\":0.0"
    figure Whole "network_rx_bytes_total" (Grows(912_345_678_901L, 400_000_000L))
    figure Whole "network_tx_bytes_total" (Grows(612_345_678_901L, 200_000_000L))
    figure Whole "process_count" (Wanders(912L, 9L, 2000L))
    text ",\"disks\":["

    each [ "nvme0n1"; "nvme1n1" ] (fun i device ->
        text $"\"device\":\"%s{device}\""
        figure (Times 4096L) "read_bytes_total" (Grows(22_273_576L, 300_000L))
        figure (Times 4096L) "write_bytes_total" (Grows(7_625_626L, 30_000L))
        figure Whole "read_count_total" (Grows(9_123_456L, 20_000L))
        figure Whole "write_count_total" (Grows(3_123_456L, 3_000L))
        figure Whole "busy_time_ms_total" (Grows(6_123_456L, 1_500L)))

    text "],\"gpus\":["

    each [ "0"; "1"; "2"; "3" ] (fun i index ->
        let busy = $"gpu%d{i}"
        let used = $"memory%d{i}"

        text
            $"\"gpu_index\":%s{index},\"name\":\"NVIDIA A100-SXM4-80GB\",\"uuid\":\"GPU-5c8f1d2e-0000-4000-8000-00000000000%s{index}\",\"utilization_gpu_percent\":"

        put Whole busy (Wanders(93L, 6L, 100L))
        figure Whole "utilization_memory_percent" (Follows(busy, (fun busy -> busy / 2L)))
        text $",\"memory_total_bytes\":%d{gpuMebibytes * 1_048_576L},\"memory_used_bytes\":"
        put (Times 1_048_576L) used (Wanders(71_000L, 2L, gpuMebibytes))
        figure Tenths "memory_percent" (Follows(used, (fun used -> used * 1000L / gpuMebibytes)))
        figure Whole "temperature_c" (Wanders(61L + int64 i, 1L, 90L))
        text ",\"fan_speed_percent\":null"
        figure Hundredths "power_w" (Wanders(31_500L + 100L * int64 i, 900L, 40_000L))
        text ",\"power_limit_w\":400.0")

    text "],\"fans\":["

    each [ "FAN1"; "FAN2" ] (fun _ label ->
        text $"\"label\":\"%s{label}\""
        figure Whole "speed_rpm" (Wanders(5400L, 100L, 9000L)))

    text "],\"cpu_steal_percent\":0.0,\"cpu_cores_percent\":["

    for core in 0..31 do
        text (if core = 0 then "" else ",")
        put Tenths "core" (Wanders(200L + 13L * int64 core, 90L, 1000L))

    text "],\"pressure\":{\"cpu_some_avg10\":"
    put Hundredths "cpu_some_avg10" (Wanders(212L, 30L, 10_000L))

    for name in [ "io_some_avg10"; "io_full_avg10"; "memory_some_avg10"; "memory_full_avg10" ] do
        figure Hundredths name (Wanders(8L, 3L, 10_000L))

    for name in
        [
            "cpu_some_total_us"
            "io_some_total_us"
            "io_full_total_us"
            "memory_some_total_us"
            "memory_full_total_us"
        ] do
        figure Whole name (Grows(91_234_567L, 20_000L))

    text "},\"network_interfaces\":["

    each [ "eth0"; "eth1" ] (fun _ name ->
        text $"\"name\":\"%s{name}\""

        for counter in [ "rx_bytes_total"; "tx_bytes_total" ] do
            figure Whole counter (Grows(456_789_012_345L, 200_000_000L))

        for counter in [ "rx_packets_total"; "tx_packets_total" ] do
            figure Whole counter (Grows(456_789_012L, 100_000L))

        text ",\"rx_errors_total\":0,\"tx_errors_total\":0,\"rx_dropped_total\":12,\"tx_dropped_total\":0")

    text "],\"infiniband\":[]},"
    parts.ToArray(), string pending

let private figures = fst figuresAndRest

let private head = Encoding.UTF8.GetBytes "{\"sample\":{\"collected_at\":\""

let private tail = Encoding.UTF8.GetBytes(snd figuresAndRest + agent)

/// For each figure that follows from another, that one's place.
let private sources =
    figures
    |> Array.map (fun figure ->
        match figure.Course with
        | Follows(name, _) -> figures |> Array.findIndex (fun other -> other.Name = name)
        | _ -> -1)

/// The agent of one server. Not for use from several threads.
type Machine(seed: int) =
    // A xorshift generator: the load must not be bound by its own dice.
    let mutable state = uint64 (seed + 1) * 0x9E3779B97F4A7C15UL

    let below (limit: int64) : int64 =
        state <- state ^^^ (state <<< 13)
        state <- state ^^^ (state >>> 7)
        state <- state ^^^ (state <<< 17)
        int64 (state >>> 1) % limit

    let values =
        figures
        |> Array.map (fun figure ->
            match figure.Course with
            | Wanders(start, _, _)
            | Grows(start, _) -> start
            | Follows _ -> 0L)

    /// Writes the body of the next sample, taken at this instant of UTC.
    member _.Write(out: Writer, at: DateTime) : unit =
        out.Bytes(head.AsSpan())
        out.Instant at

        for i in 0 .. figures.Length - 1 do
            let figure = figures[i]

            values[i] <-
                match figure.Course with
                | Wanders(_, step, limit) -> Math.Clamp(values[i] + below (2L * step + 1L) - step, 0L, limit)
                | Grows(_, step) -> values[i] + below step
                | Follows(_, rule) -> rule values[sources[i]]

            out.Bytes(figure.Before.AsSpan())

            match figure.Shape with
            | Whole -> out.Integer values[i]
            | Times unit -> out.Integer(values[i] * unit)
            | Tenths -> out.Decimals(values[i], 1)
            | Hundredths -> out.Decimals(values[i], 2)

        out.Bytes(tail.AsSpan())
