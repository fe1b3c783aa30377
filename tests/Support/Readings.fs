/// A machine and an agent as metrics see them, made from fixtures.
module Agent.TestSupport.Readings

open System
open System.Buffers
open System.IO
open Agent.Core
open Agent.Outbound
open Agent.Sender
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Units
open Agent.TestSupport
open Agent.TestSupport.Fixtures

/// The instant of all readings: 2026-02-26 12:00:00.25 UTC is 1772107200.25 (date -d … +%s).
let at = DateTimeOffset(2026, 2, 26, 12, 0, 0, 250, TimeSpan.Zero)

let private system: SystemInfo =
    { SystemInfo.unknown with
        OsName = "Linux"
        OsRelease = "6.1.0-18-amd64"
        OsVersion = "#1 SMP Debian 6.1.76-1"
        Machine = "x86_64"
        Hostname = "gpu-box-01"
    }

let private filesystems: FilesystemState[] =
    let state device mountPoint fsType isReadOnly (size, free, available) : FilesystemState =
        {
            Device = device
            MountPoint = mountPoint
            FsType = fsType
            IsReadOnly = isReadOnly
            Counts =
                ValueSome
                    {
                        Size = size
                        Free = free
                        Available = available
                        Files = 640UL
                        FilesFree = 600UL
                    }
        }

    [|
        state "/dev/vda1" "/" "ext4" false (1000UL<B>, 400UL<B>, 350UL<B>)
        state "filer:/scratch" "/scratch" "nfs4" true (4000UL<B>, 3000UL<B>, 3000UL<B>)
        { state "dead:/home" "/home" "nfs4" false (0UL<B>, 0UL<B>, 0UL<B>) with
            Counts = ValueNone
        }
    |]

/// What the collectors read of a machine whose /proc and /sys lie in a directory of fixtures.
let collectorsOf (machine: string) : CollectorReading[] =
    // The others tell of the program that asks.
    let isOfFiles (collector: Collector) =
        collector.Sets
        |> Array.exists (fun set -> set.Root.IsProc || set.Root.IsNet || set.Root.IsSys || set.Root.IsSensors)

    // Where the kernel has a link, `device` is a file that says where it leads.
    let sensors () : FileText[] =
        let chips = pathOf $"{machine}/sys/class/hwmon"

        [|
            if Directory.Exists chips then
                for chip in Directory.GetDirectories chips |> Array.sort do
                    for path in Directory.GetFiles chip |> Array.sort do
                        let file = nonNull (Path.GetFileName path)

                        if file = "name" || file = "device" || (Sys.Hwmon.attributeOf file).IsSome then
                            {
                                Names = [| nonNull (Path.GetFileName chip) |]
                                File = file
                                Text = ReadOnlyMemory(File.ReadAllBytes path)
                            }
        |]

    let files (set: FileSet) : FileText[] =
        let root =
            match set.Root with
            | FileRoot.Proc -> "proc"
            | FileRoot.Net -> "proc/net"
            | _ -> "sys"

        let below (parents: (string * string[])[]) (part: string) =
            if part = "*" then
                parents
                |> Array.collect (fun (parent, names) ->
                    if Directory.Exists parent then
                        Directory.GetDirectories parent
                        |> Array.sort
                        |> Array.map (fun path -> path, Array.append names [| nonNull (Path.GetFileName path) |])
                    else
                        [||])
            else
                parents |> Array.map (fun (parent, names) -> Path.Combine(parent, part), names)

        [|
            for directory, names in
                set.Directory.Split '/'
                |> Array.fold below [| pathOf $"{machine}/{root}", [||] |] do
                for file in Array.append set.Files set.Steady do
                    let path = Path.Combine(directory, file)

                    if File.Exists path then
                        {
                            Names = names
                            File = file
                            Text = ReadOnlyMemory(File.ReadAllBytes path)
                        }
        |]

    [|
        for collector in Collectors.all |> Array.filter isOfFiles do
            {
                Collector = collector
                Texts =
                    collector.Sets
                    |> Array.collect (fun set -> if set.Root.IsSensors then sensors () else files set)
                Took = TimeSpan.FromMilliseconds 1.0
            }
    |]

/// What the collectors read of a machine that has the sensors of the fixture `intel-workstation` as well.
let private collectorsWithSensors: CollectorReading[] =
    let sensors =
        (collectorsOf "intel-workstation"
         |> Array.find (fun reading -> reading.Collector.Name = "hwmon"))
            .Texts
        |> Array.map (fun text ->
            { text with
                Names = [| "of-workstation-" + text.Names[0] |]
            })

    collectorsOf "collectors"
    |> Array.map (fun reading ->
        if reading.Collector.Name = "hwmon" then
            { reading with
                Texts = Array.append reading.Texts sensors
            }
        else
            reading)

/// The machine below `vm-2core-6.18/first`, with these GPUs.
let machineWith (gpus: Gpu[]) : MachineReading =
    let file path : byte[] | null =
        let name = pathOf ("vm-2core-6.18/first/proc/" + path)
        if File.Exists name then File.ReadAllBytes name else null

    let snapshot: Snapshot =
        { Snapshot.ofFiles at file with
            Processes = Ok 123
            Slow =
                { SlowReadings.None with
                    CpuTemperature = ValueSome 61.0<degC>
                    CpuFrequency = ValueSome 2300.0<MHz>
                    PhysicalCores = ValueSome 2
                    Fans =
                        [|
                            {
                                Label = "FAN \"1\""
                                Speed = 1180<rpm>
                            }
                        |]
                    Gpus = gpus
                }
        }

    let options: SampleOptions =
        {
            Disks = [||]
            Interfaces = [||]
            CpuWindow = TimeSpan.Zero
        }

    {
        Snapshot = snapshot
        Sample = Sample.build options ValueNone snapshot
        Previous = ValueNone
        MemoryText = ReadOnlyMemory(file "meminfo")
        Temperatures = (Sys.Hwmon.parse (sysFiles "intel-workstation" "")).Temperatures
        System = system
        DomainName = "(none)"
        Hostname = "gpu-box-01"
        Disks = [||]
        Interfaces = [||]
        Accounts = JobAccounts.Empty
        MachineJob = ""
        GpuJobs = [||]
        GpuWork = [||]
        Filesystems = filesystems
        Collectors = collectorsWithSensors
        PageSize = 4096UL<B>
    }

/// A board of which everything is known.
let board: Gpu =
    { Gpu.OfIndex 1 with
        Name = "NVIDIA H100 80GB HBM3"
        Uuid = "GPU-4444"
        PciBusId = "00000000:65:00.0"
        DriverVersion = "580.95.05"
        Utilization = ValueSome 97.0<percent>
        MemoryUtilization = ValueSome 45.0<percent>
        // 80 GiB, of which 16 GiB are in use.
        MemoryTotal = ValueSome 85899345920UL<B>
        MemoryUsed = ValueSome 17179869184UL<B>
        MemoryFree = ValueSome 68182605824UL<B>
        MemoryReserved = ValueSome 536870912UL<B>
        Temperature = ValueSome 65.0<degC>
        FanSpeed = ValueSome 30.0<percent>
        Power = ValueSome 433.78<W>
        PowerLimit = ValueSome 700.0<W>
        ThrottleReasons = ValueSome [| "sw_power_cap"; "hw_slowdown" |]
        ClockSm = ValueSome 1755.0<MHz>
        ClockMemory = ValueSome 2619.0<MHz>
        PcieReceived = ValueSome 1024000.0<B / s>
        PcieSent = ValueSome 2048000.0<B / s>
        PcieLinkGeneration = ValueSome 5
        PcieLinkWidth = ValueSome 16
        EccUncorrected = ValueSome 1UL
        EccCorrected = ValueSome 12UL
        RemappedRowsPending = ValueSome true
        XidLast = ValueSome 79
        XidCount = ValueSome 3UL
        Energy = ValueSome 123456789012UL<mJ>
        Encoder = ValueSome 10.0<percent>
        Decoder = ValueSome 20.0<percent>
        NvlinkReceived = ValueSome 5000UL<B>
        NvlinkSent = ValueSome 6000UL<B>
        MemoryTemperature = ValueSome 71.0<degC>
        MigMode = ValueSome MigMode.Enabled
        ComputeProcesses =
            ValueSome
                [|
                    {
                        Pid = 4711
                        MemoryUsed = ValueNone
                        Name = "python"
                    }
                |]
        MigDevices =
            ValueSome
                [|
                    {
                        Index = 0
                        Name = ""
                        Uuid = "MIG-1"
                        GpuInstance = ValueNone
                        ComputeInstance = ValueNone
                        MemoryTotal = ValueSome 42949672960UL<B>
                        MemoryUsed = ValueSome 1073741824UL<B>
                        MemoryFree = ValueNone
                        ComputeProcesses = ValueSome [||]
                        XidLast = ValueSome 31
                        XidCount = ValueSome 2UL
                    }
                |]
        Counters =
            {
                PcieReplays = ValueSome 5UL
                CorrectableRows = ValueSome 3UL
                UncorrectableRows = ValueSome 4UL
                HasRowFailure = ValueSome false
                VolatileCorrected = ValueSome 6UL
                VolatileUncorrected = ValueSome 7UL
                PowerViolation = ValueSome 21000000000UL
                ThermalViolation = ValueSome 22000000000UL
                SyncBoostViolation = ValueSome 23000000000UL
                BoardLimitViolation = ValueSome 24000000000UL
                LowUtilizationViolation = ValueSome 25000000000UL
                ReliabilityViolation = ValueSome 26000000000UL
                NvlinkFlitErrors = ValueSome 11UL
                NvlinkDataErrors = ValueSome 12UL
                NvlinkReplays = ValueSome 13UL
                NvlinkRecoveries = ValueSome 14UL
                NvlinkRate = ValueSome 450_999_999.0<B / s>
            }
    }

/// What GPM tells of a GPU.
let gpm: GpmWork =
    {
        Graphics = ValueSome 96.0<percent>
        Sm = ValueSome 88.5<percent>
        Occupancy = ValueSome 12.5<percent>
        Tensor = ValueSome 45.0<percent>
        Dram = ValueSome 30.25<percent>
        PcieIn = ValueSome 2097152.0<B / s>
        PcieOut = ValueSome 1048576.0<B / s>
        NvlinkIn = ValueSome 3145728.0<B / s>
        NvlinkOut = ValueSome 4718592.0<B / s>
    }

/// What jobs do on that board.
let work: GpuWork =
    {
        GpuIndex = 1
        GpuUuid = "GPU-4444"
        SmActivity = gpm.Sm
        TensorActivity = gpm.Tensor
        DramActivity = gpm.Dram
        PcieIn = gpm.PcieIn
        PcieOut = gpm.PcieOut
        NvlinkBoth = ValueSome 7864320.0<B / s>
        Gpm = gpm
        PowerViolation = ValueNone
        ThermalViolation = ValueNone
        Shares = ValueNone
        Instances = [||]
    }

/// An agent that delivers to a webapp.
let agent: AgentState =
    {
        Version = "1.2.3"
        Taken = 100L
        Skipped = 2L
        Failures = 5L
        Sources =
            [|
                {
                    Source = "cpu"
                    IsGood = true
                    Duration = ValueSome(TimeSpan.FromMicroseconds 250.0)
                }
                {
                    Source = "gpu"
                    IsGood = false
                    Duration = ValueNone
                }
            |]
        Destinations =
            [|
                {
                    Destination = "ingest"
                    Waiting = 7L
                    Delivered = 90L
                    NoRoom = 1L
                    Refused = 2L
                    Damaged = 0L
                    Unconfirmed = ValueNone
                    RefusedSeries = ValueNone
                }
            |]
    }

/// What is written.
let bytesOf (format: ExpositionFormat) (reading: MachineReading voption) (agent: AgentState) : byte[] =
    let output = ArrayBufferWriter<byte>()
    Exposition.write output format reading agent
    output.WrittenSpan.ToArray()

/// What is written, read back from the text format.
let familiesOf (reading: MachineReading) : PrometheusText.Family list =
    PrometheusText.readText (ReadOnlySpan(bytesOf ExpositionFormat.Text (ValueSome reading) agent))
