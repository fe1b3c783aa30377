/// Machines of any size, as their kernels would tell of them: the texts are made from the documented formats, with
/// counters as wide as those of a machine that has been up for months. The same size gives the same bytes.
module Agent.Bench.Machine

open System
open System.IO
open System.Text

/// How large a machine is.
type Size =
    {
        /// Logical CPUs, two for each core.
        Cpus: int
        /// Whole disks, each with two partitions.
        Disks: int
        /// Network interfaces besides `lo`.
        Interfaces: int
        /// NVIDIA GPUs.
        Gpus: int
        /// Directories of processes in /proc.
        Processes: int
        /// Ports of the RDMA fabric.
        FabricPorts: int
    }

/// The large machine of the benchmarks.
let large: Size =
    {
        Cpus = 256
        Disks = 64
        Interfaces = 100
        Gpus = 16
        Processes = 2000
        FabricPorts = 8
    }

/// A number with about so many digits that depends on nothing but its place.
let private counter (digits: int) (place: int) : uint64 =
    let scattered = (uint64 place + 1UL) * 0x9E3779B97F4A7C15UL

    let limit = uint64 (Math.Pow(10.0, float digits))
    limit / 10UL + (scattered >>> 11) % (limit - limit / 10UL)

let private counters (digits: int list) (place: int) : string =
    digits
    |> List.mapi (fun column width -> string (counter width (place * 64 + column)))
    |> String.concat " "

let private lines (text: seq<string>) : byte[] =
    Encoding.UTF8.GetBytes(String.Join('\n', text) + "\n")

/// /proc/stat, ten columns for each CPU. Large machines have thousands of interrupt lines, almost all of them zero.
let stat (size: Size) : byte[] =
    let cpu name place =
        $"{name} {counters [ 10; 6; 9; 11; 8; 1; 7; 1; 1; 1 ] place}"

    let interrupts =
        Seq.init (512 + 8 * size.Cpus) (fun line -> if line % 16 = 0 then string (counter 8 line) else "0")

    lines
        [
            cpu "cpu " 0

            for n in 0 .. size.Cpus - 1 do
                cpu $"cpu{n}" (n + 1)

            $"intr {counter 12 1} " + String.Join(' ', interrupts)
            $"ctxt {counter 12 2}"
            "btime 1764000000"
            $"processes {counter 8 3}"
            "procs_running 3"
            "procs_blocked 0"
            $"softirq {counters [ 12; 8; 11; 6; 10; 9; 1; 9; 11; 4; 10 ] 4}"
        ]

let private meminfoKeys =
    "MemTotal MemFree MemAvailable Buffers Cached SwapCached Active Inactive Active(anon) Inactive(anon) Active(file) \
     Inactive(file) Unevictable Mlocked SwapTotal SwapFree Zswap Zswapped Dirty Writeback AnonPages Mapped Shmem \
     KReclaimable Slab SReclaimable SUnreclaim KernelStack PageTables SecPageTables NFS_Unstable Bounce WritebackTmp \
     CommitLimit Committed_AS VmallocTotal VmallocUsed VmallocChunk Percpu HardwareCorrupted AnonHugePages ShmemHugePages \
     ShmemPmdMapped FileHugePages FilePmdMapped Unaccepted Hugetlb DirectMap4k DirectMap2M DirectMap1G"

/// /proc/meminfo of a machine with two terabytes of memory; its length does not depend on the machine's size.
let memInfo: byte[] =
    let value =
        function
        | "MemTotal" -> 2113551360UL
        | "MemFree" -> 1040021504UL
        | "MemAvailable" -> 1890012160UL
        | "SwapTotal" -> 8388604UL
        | "SwapFree" -> 8380412UL
        | key -> counter 8 key.Length

    meminfoKeys.Split([| ' ' |], StringSplitOptions.RemoveEmptyEntries)
    |> Seq.map (fun key ->
        let name = key + ":"
        $"{name, -16}{value key, 12} kB")
    |> lines

/// /proc/loadavg.
let loadAvg: byte[] = "153.72 148.05 120.33 154/5301 2819423\n"B

/// The names of whole disks: as many NVMe as SCSI ones.
let diskNames (size: Size) : string list =
    let letters n =
        if n < 26 then
            string (char (int 'a' + n))
        else
            string (char (int 'a' + n / 26 - 1)) + string (char (int 'a' + n % 26))

    [
        for n in 0 .. size.Disks - 1 do
            if n % 2 = 0 then
                $"nvme{n / 2}n1"
            else
                "sd" + letters (n / 2)
    ]

/// /proc/diskstats, twenty columns, with the partitions and a few loop devices.
let diskStats (size: Size) : byte[] =
    let line major minor name place =
        $"{major, 4} {minor, 7} {name} {counters [ 8; 6; 10; 8; 9; 7; 11; 9; 1; 8; 9; 5; 1; 8; 5; 6; 6 ] place}"

    lines
        [
            for place, name in List.indexed (diskNames size) do
                let partition =
                    if name.StartsWith("nvme", StringComparison.Ordinal) then
                        "p"
                    else
                        ""

                line 259 (place * 16) name place
                line 259 (place * 16 + 1) $"{name}{partition}1" (place + 1000)
                line 259 (place * 16 + 2) $"{name}{partition}2" (place + 2000)

            for n in 0..7 do
                $"{7, 4} {n, 7} loop{n} 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"
        ]

/// /proc/net/dev.
let netDev (size: Size) : byte[] =
    let line name place =
        $"{name, 10}: {counters [ 13; 10; 1; 4; 1; 1; 1; 7; 13; 10; 1; 1; 1; 1; 1; 1 ] place}"

    lines
        [
            "Inter-|   Receive                                                |  Transmit"
            " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed"
            line "lo" 0

            for n in 0 .. size.Interfaces - 1 do
                line (if n % 2 = 0 then $"eth{n / 2}" else $"veth{n:x6}") (n + 1)
        ]

/// A file of /proc/pressure.
let pressure: byte[] =
    lines
        [
            "some avg10=12.34 avg60=10.20 avg300=8.05 total=918273645546"
            "full avg10=3.21 avg60=2.05 avg300=1.10 total=192837465564"
        ]

/// /proc/uptime.
let uptime: byte[] = "8640123.45 2140012345.67\n"B

let private flags =
    "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 ht syscall nx mmxext \
     fxsr_opt pdpe1gb rdtscp lm constant_tsc rep_good nopl nonstop_tsc cpuid extd_apicid aperfmperf rapl pni pclmulqdq monitor \
     ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c rdrand lahf_lm cmp_legacy svm extapic \
     cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs skinit wdt tce topoext perfctr_core perfctr_nb bpext"

/// /proc/cpuinfo of an x86 machine.
let cpuInfo (size: Size) : byte[] =
    lines
        [
            for n in 0 .. size.Cpus - 1 do
                $"processor\t: {n}"
                "vendor_id\t: AuthenticAMD"
                "cpu family\t: 25"
                "model\t\t: 1"
                "model name\t: AMD EPYC 7763 64-Core Processor"
                "stepping\t: 1"
                $"cpu MHz\t\t: {2450 + n % 7}.{n % 1000:D3}"
                "cache size\t: 512 KB"
                $"physical id\t: {2 * n / size.Cpus}"
                $"siblings\t: {max 1 (size.Cpus / 2)}"
                $"core id\t\t: {n / 2}"
                $"cpu cores\t: {max 1 (size.Cpus / 4)}"
                $"flags\t\t: {flags}"
                "bogomips\t: 4900.10"
                "address sizes\t: 48 bits physical, 48 bits virtual"
                ""
        ]

/// /proc/mounts of a machine that mounts every partition and runs a hundred containers.
let mounts (size: Size) : byte[] =
    lines
        [
            "proc /proc proc rw,nosuid,nodev,noexec,relatime 0 0"
            "sysfs /sys sysfs rw,nosuid,nodev,noexec,relatime 0 0"

            for n, name in List.indexed (diskNames size) do
                $"/dev/{name} /data/{n} xfs rw,relatime,attr2,inode64,logbufs=8,logbsize=32k,noquota 0 0"

            for n in 0..99 do
                let id = (counter 18 n).ToString "x16"
                $"overlay /var/lib/containers/{id}/merged overlay rw,relatime,lowerdir=/l/{id},upperdir=/u/{id},workdir=/w/{id} 0 0"
        ]

/// /proc/filesystems.
let filesystems: byte[] =
    lines
        [
            for name in "sysfs tmpfs bdev proc cgroup cgroup2 devtmpfs debugfs tracefs securityfs sockfs bpf pipefs overlay".Split ' ' do
                $"nodev\t{name}"

            for name in "ext3 ext2 ext4 xfs btrfs vfat fuseblk".Split ' ' do
                $"\t{name}"
        ]

/// Small files of /sys, their paths starting at `devices` or `class`.
let sysFiles (size: Size) : (string * byte[]) list =
    [
        for n in 0 .. size.Cpus - 1 do
            let core = n - n % 2

            let siblings =
                if core + 1 < size.Cpus then
                    $"{core}-{core + 1}"
                else
                    $"{core}"

            $"devices/system/cpu/cpu{n}/topology/core_cpus_list", lines [ siblings ]
            $"devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq", lines [ string (2_450_000 + n % 977) ]

        // One chip for each socket, with a sensor for each core complex of eight.
        for socket in 0..1 do
            let chip = $"class/hwmon/hwmon{socket}"
            $"{chip}/name", lines [ "k10temp" ]
            $"{chip}/temp1_label", lines [ "Tctl" ]
            $"{chip}/temp1_input", lines [ string (61_000 + socket * 500) ]

            for sensor in 3 .. 2 + max 1 (size.Cpus / 32) do
                $"{chip}/temp{sensor}_label", lines [ $"Tccd{sensor - 2}" ]
                $"{chip}/temp{sensor}_input", lines [ string (55_000 + sensor * 125) ]

        "class/hwmon/hwmon2/name", lines [ "nct6798" ]

        for fan in 1..8 do
            $"class/hwmon/hwmon2/fan{fan}_label", lines [ $"System fan {fan}" ]
            $"class/hwmon/hwmon2/fan{fan}_input", lines [ string (5000 + fan * 60) ]

        for zone in 0..3 do
            $"class/thermal/thermal_zone{zone}/type", lines [ $"cpu{zone}-thermal" ]
            $"class/thermal/thermal_zone{zone}/temp", lines [ string (48_000 + zone * 1000) ]

        for port in 0 .. size.FabricPorts - 1 do
            for name in [ "port_rcv_data"; "port_xmit_data" ] do
                $"class/infiniband/mlx5_{port}/ports/1/counters/{name}", lines [ string (counter 14 (port * 2 + name.Length)) ]
    ]

/// What `nvidia-smi --query-gpu=… --format=csv,nounits` prints.
let nvidiaSmi (size: Size) : byte[] =
    lines
        [
            "index, name, uuid, utilization.gpu [%], utilization.memory [%], memory.total [MiB], memory.used [MiB], "
            + "temperature.gpu, fan.speed [%], power.draw [W], power.limit [W]"

            for n in 0 .. size.Gpus - 1 do
                $"{n}, NVIDIA H100 80GB HBM3, GPU-{counter 18 n:x}-aaaa-bbbb, {90 + n % 10}, {40 + n}, 81559, "
                + $"{60000 + n * 100}, {55 + n}, [N/A], {612.5 + float n:F2}, 700.00"
        ]

/// What `ipmitool sdr type Fan` prints.
let ipmi: byte[] =
    lines
        [
            for n in 1..32 do
                $"FAN{n, -13}| {0x41 + n:X}h | ok  | 29.{n} | {5600 + n * 20} RPM"
        ]

/// The files below /proc, by their paths there.
let procFiles (size: Size) : (string * byte[]) list =
    [
        "stat", stat size
        "meminfo", memInfo
        "loadavg", loadAvg
        "diskstats", diskStats size
        "net/dev", netDev size
        "cpuinfo", cpuInfo size
        "uptime", uptime
        "filesystems", filesystems
        "self/mounts", mounts size
        "pressure/cpu", pressure
        "pressure/io", pressure
        "pressure/memory", pressure
    ]

/// Writes the machine's `proc` and `sys` below a directory, in the place of any that are there.
let writeTree (directory: string) (size: Size) : unit =
    let put (path: string) (content: byte[]) =
        let full = Path.Combine(directory, path)

        Path.GetDirectoryName full
        |> Option.ofObj
        |> Option.iter (Directory.CreateDirectory >> ignore)

        File.WriteAllBytes(full, content)

    for part in [ "proc"; "sys" ] do
        let path = Path.Combine(directory, part)

        if Directory.Exists path then
            Directory.Delete(path, true)

    for path, content in procFiles size do
        put $"proc/{path}" content

    // From 2 on: process 1's own net and mounts would be read in place of these.
    for pid in 2 .. size.Processes + 1 do
        Directory.CreateDirectory(Path.Combine(directory, "proc", string pid)) |> ignore

    for path, content in sysFiles size do
        put $"sys/{path}" content
