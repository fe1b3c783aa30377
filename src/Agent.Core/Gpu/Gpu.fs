namespace Agent.Core.Gpu

open Agent.Core
open Agent.Core.Units

/// One GPU at one reading. What the board or the driver does not tell is none, never 0.
type Gpu =
    {
        /// The driver's index, from 0.
        Index: int
        /// `NVIDIA H100 80GB HBM3`; empty when unknown.
        Name: string
        /// `GPU-…`; empty when unknown.
        Uuid: string
        /// Share of the last sample period in which a kernel ran.
        Utilization: float<percent> voption
        /// Share of the last sample period in which device memory was read or written.
        MemoryUtilization: float<percent> voption
        /// Device memory.
        MemoryTotal: uint64<B> voption
        /// Device memory in use, without what the driver reserves where it tells them apart.
        MemoryUsed: uint64<B> voption
        /// The GPU's die.
        Temperature: float<degC> voption
        /// The speed the fan is driven at; none on boards that are cooled by the server.
        FanSpeed: float<percent> voption
        /// What the board draws.
        Power: float<W> voption
        /// The limit that is in force.
        PowerLimit: float<W> voption
    }

    /// Used memory as a percentage of all of it; none unless both are known.
    member gpu.MemoryPercent: float<percent> voption =
        match gpu.MemoryUsed, gpu.MemoryTotal with
        | ValueSome used, ValueSome total when total > 0UL<B> -> ValueSome(percentOf (float used) (float total))
        | _ -> ValueNone

/// All GPUs of the machine at one reading.
type GpuReading =
    {
        /// In the order of the driver.
        Gpus: Gpu[]
        /// Values that could not be read or understood; each costs its own field.
        Faults: SourceError[]
    }
