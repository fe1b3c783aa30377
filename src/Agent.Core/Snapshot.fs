namespace Agent.Core

open System
open Agent.Core.Gpu
open Agent.Core.Proc
open Agent.Core.Sys
open Agent.Core.Units

/// A reading of /proc/stat that opened the CPU window of a sample.
[<Struct>]
type CpuWindow =
    {
        /// How long before the sample it was read.
        Length: TimeSpan
        /// What it read.
        Stat: Stat.CpuStat
    }

/// The newest readings of the sources that are read beside the sampling, because they may be slow. None and empty stand
/// for a machine without them and for readings that are too old to be told as the present.
type SlowReadings =
    {
        /// The hottest CPU sensor.
        CpuTemperature: float<degC> voption
        /// The mean clock of the CPUs.
        CpuFrequency: float<MHz> voption
        /// Cores, not hyper-threads.
        PhysicalCores: int voption
        /// Fans with a speed.
        Fans: Hwmon.Fan[]
        /// NVIDIA GPUs.
        Gpus: Gpu[]
    }

/// Everything read at one instant. Each source has a result of its own: one that fails costs its own fields.
type Snapshot =
    {
        /// When the counters were read, UTC.
        At: DateTimeOffset
        /// The opening of the CPU window; none when usage is counted since the previous sample.
        Window: CpuWindow voption
        /// /proc/stat
        Stat: Result<Stat.CpuStat, SourceError>
        /// /proc/meminfo
        Memory: Result<MemInfo.MemoryInfo, SourceError>
        /// /proc/loadavg
        Load: Result<LoadAvg.LoadAverage, SourceError>
        /// /proc/diskstats
        Disks: Result<DiskStats.DiskCounters[], SourceError>
        /// /proc/net/dev
        Network: Result<NetDev.InterfaceCounters[], SourceError>
        /// Numeric directories of /proc.
        Processes: Result<int, SourceError>
        /// /proc/pressure/cpu
        CpuPressure: Result<Pressure.Pressure, SourceError>
        /// /proc/pressure/io
        IoPressure: Result<Pressure.Pressure, SourceError>
        /// /proc/pressure/memory
        MemoryPressure: Result<Pressure.Pressure, SourceError>
        /// /sys/class/infiniband
        Infiniband: Infiniband.Port[]
        /// What was read beside.
        Slow: SlowReadings
    }
