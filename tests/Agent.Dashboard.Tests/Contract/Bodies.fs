/// Samples as the JSON text that is posted. Values are JSON text themselves, so that what no library would write can be said.
module Agent.Dashboard.Tests.Bodies

open System
open System.Globalization
open System.Text

/// An object's members in order: name and JSON text.
type Members = (string * string) list

/// A JSON string.
let quoted (text: string) : string = Text.Json.JsonSerializer.Serialize text

/// The object as JSON text.
let render (members: Members) : string =
    members
    |> List.map (fun (name, value) -> $"{quoted name}:{value}")
    |> String.concat ","
    |> sprintf "{%s}"

/// The list as JSON text.
let list (items: string list) : string = "[" + String.concat "," items + "]"

/// With this member, in the place of one of that name.
let set (name: string) (value: string) (members: Members) : Members =
    if members |> List.exists (fst >> (=) name) then
        members
        |> List.map (fun (other, old) -> other, (if other = name then value else old))
    else
        members @ [ name, value ]

/// With these members.
let setAll (changes: Members) (members: Members) : Members =
    changes |> List.fold (fun all (name, value) -> set name value all) members

/// Without this member.
let without (name: string) (members: Members) : Members =
    members |> List.filter (fst >> (<>) name)

/// RFC 3339 with microseconds and a numeric offset, as agents write it.
let instant (at: DateTimeOffset) : string =
    at.ToString("yyyy-MM-dd'T'HH:mm:ss.ffffffzzz", CultureInfo.InvariantCulture)

/// A disk's counters.
let disk (device: string) (read: int64) (written: int64) (reads: int64) (writes: int64) (busy: int64) : string =
    render
        [
            "device", quoted device
            "read_bytes_total", string read
            "write_bytes_total", string written
            "read_count_total", string reads
            "write_count_total", string writes
            "busy_time_ms_total", string busy
        ]

/// A GPU's members; the utilisation and the memory in use, in per cent, are JSON text.
let gpuMembers (index: int) (utilization: string) (memory: string) : Members =
    [
        "gpu_index", string index
        "name", quoted "NVIDIA H100 80GB HBM3"
        "uuid", quoted $"GPU-44444444-0000-4000-8000-00000000000{index}"
        "utilization_gpu_percent", utilization
        "utilization_memory_percent", "11"
        "memory_total_bytes", "85520809984"
        "memory_used_bytes", "21380202496"
        "memory_percent", memory
        "temperature_c", "53"
        "fan_speed_percent", "null"
        "power_w", "433.78"
        "power_limit_w", "700"
    ]

/// The same as JSON text.
let gpu (index: int) (utilization: string) (memory: string) : string =
    render (gpuMembers index utilization memory)

/// A fan.
let fan (label: string) (speed: int) : string =
    render [ "label", quoted label; "speed_rpm", string speed ]

/// A plain sample: a third of CPU and memory in use, one disk, no GPU, no fan.
let sample (at: DateTimeOffset) : Members =
    [
        "collected_at", quoted (instant at)
        "cpu_usage_percent", "33.3"
        "cpu_user_percent", "20.1"
        "cpu_system_percent", "5.2"
        "cpu_iowait_percent", "0.4"
        "cpu_load_1", "0.52"
        "cpu_load_5", "1.25"
        "cpu_load_15", "2.5"
        "cpu_frequency_mhz", "2300.5"
        "cpu_temperature_c", "61"
        "cpu_count_logical", "8"
        "cpu_count_physical", "4"
        "memory_total_bytes", "16000000000"
        "memory_used_bytes", "5000000000"
        "memory_available_bytes", "11000000000"
        "memory_percent", "31.3"
        "swap_total_bytes", "1024000000"
        "swap_used_bytes", "0"
        "swap_percent", "0"
        "network_rx_bytes_total", "1000000"
        "network_tx_bytes_total", "2000000"
        "process_count", "131"
        "disks", list [ disk "nvme0n1" 1_000_000L 2_000_000L 300L 400L 5000L ]
        "gpus", "[]"
        "fans", "[]"
    ]

/// What an agent says of itself.
let agent: Members =
    [
        "version", quoted "0.1.0"
        "hostname", quoted "node-7"
        "platform", quoted "Linux-6.1.0-18-amd64-x86_64-with-glibc2.36"
        "pid", "4711"
        "labels", """{"rack":"r1"}"""
        "disk_filters", "[]"
    ]

/// The body that an agent posts.
let body (sample: Members) : string =
    render [ "sample", render sample; "agent", render agent ]

/// A body's bytes.
let utf8 (text: string) : byte[] = Encoding.UTF8.GetBytes text
