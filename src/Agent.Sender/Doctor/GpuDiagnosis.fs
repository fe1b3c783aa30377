namespace Agent.Sender

open System
open System.Globalization
open Agent.Core
open Agent.Core.Gpu
open Agent.Core.Units

/// The driver's device nodes, /dev/nvidiactl and those of the GPUs.
[<RequireQualifiedAccess>]
type GpuNodes =
    /// Not here.
    | Missing
    /// Present, but not accessible to the agent.
    | Denied of path: string
    /// As they should be.
    | Usable

/// What a machine shows of its GPUs without the driver's programs.
[<NoComparison>]
type GpuSurroundings =
    {
        /// Display devices of NVIDIA on the PCI bus that are not handed to virtual machines; none when the bus cannot be looked at.
        Devices: int voption
        /// The version of the driver in the kernel; empty for none.
        Driver: string
        /// Its device nodes.
        Nodes: GpuNodes
    }

/// The outcome of asking nvidia-smi.
[<RequireQualifiedAccess>]
type NvidiaSmiState =
    /// It was not asked.
    | NotAsked
    /// It is not installed.
    | Missing
    /// It had to be killed.
    | Hung
    /// It failed, with this message.
    | Failed of failure: NvidiaSmiFailure * words: string
    /// It has reported the GPUs.
    | Told

/// The facts that decide whether GPUs can be read.
[<NoComparison>]
type GpuFact =
    {
        /// The reader that was chosen.
        Reader: GpuReader
        /// What can be seen without asking the driver.
        Surroundings: GpuSurroundings
        /// How far the library was opened.
        Library: Nvml.State
        /// The outcome of asking nvidia-smi.
        NvidiaSmi: NvidiaSmiState
        /// The GPUs, from whichever reader reported them.
        Reading: GpuReading
        /// Which call to the library does not return, as a sentence; empty when all do.
        Hanging: string
    }

/// What a running agent says of the GPUs.
[<NoComparison>]
type GpuFinding =
    {
        /// Which there are, or why there are none; a few words.
        Summary: string
        /// What is wrong, as the end of a sentence; empty when nothing is.
        Problem: string
        /// What is wrong and what to do, on one line; empty when nothing is.
        Advice: string
    }

/// Whether GPUs can be read, and if not, why.
[<RequireQualifiedAccess>]
module GpuDiagnosis =
    /// True for a display device of NVIDIA, from the texts of its `vendor` and `class` in /sys/bus/pci/devices. Its sound and
    /// its bridges are devices too.
    [<CompiledName "IsNvidiaDisplay">]
    let isNvidiaDisplay (vendor: string) (deviceClass: string) : bool =
        vendor.Trim() = "0x10de"
        && deviceClass.Trim().StartsWith("0x03", StringComparison.Ordinal)

    /// True for the driver of a device that the machine hands to a virtual machine, by the name of its `driver` link: it is not this machine's.
    [<CompiledName "IsHandedOver">]
    let isHandedOver (driver: string) : bool =
        driver.Contains("vfio", StringComparison.Ordinal)
        || driver = "pci-stub"
        || driver = "pciback"
        || driver = "xen-pciback"

    /// The version in the first line of /proc/driver/nvidia/version, `NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15 …`:
    /// the first word made of digits and points. Empty where there is none.
    [<CompiledName "DriverVersion">]
    let driverVersion (text: ReadOnlySpan<byte>) : string =
        let isVersion (word: string) =
            word.Contains '.'
            && word |> Seq.forall (fun c -> Char.IsAsciiDigit c || c = '.')
            && Char.IsAsciiDigit word[0]

        (Text.toString text).Split([| ' '; '\t'; '\n' |], StringSplitOptions.RemoveEmptyEntries)
        |> Array.tryFind isVersion
        |> Option.defaultValue ""

    /// The number of a board's device node, by /proc/driver/nvidia/gpus/*/information, which the driver has for each board that is bound to it. None
    /// for a board that it was told to leave alone (NVreg_ExcludedGpus), and where the number cannot be read.
    [<CompiledName "Minor">]
    let minor (information: ReadOnlySpan<byte>) : int voption =
        let values =
            (Text.toString information).Split '\n'
            |> Array.map (fun line -> line.Split(':', 2) |> Array.map _.Trim())

        let valueOf (name: string) =
            values
            |> Array.tryPick (fun parts ->
                if parts.Length = 2 && parts[0] = name then
                    Some parts[1]
                else
                    None)

        match valueOf "GPU Excluded", valueOf "Blacklisted", valueOf "Device Minor" with
        | Some "Yes", _, _
        | _, Some "Yes", _ -> ValueNone
        | _, _, Some number ->
            match Int32.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture) with
            | true, minor -> ValueSome minor
            | _ -> ValueNone
        | _ -> ValueNone

    /// What is wrong with a board that is bound to the driver and that nobody lists.
    [<Literal>]
    let private NotListed = "the driver has it in the kernel, and does not list it"

    /// The faults of boards that are bound to NVIDIA's driver, by their PCI addresses, and are not among those that it lists: it leaves out a board
    /// that it cannot start. Nothing is known where a listed board does not tell its place.
    [<CompiledName "Unlisted">]
    let unlisted (bound: string[]) (gpus: Gpu[]) : SourceError[] =
        // NVML's domains have eight digits, and those of the kernel four.
        let place (address: string) =
            let short =
                if address.IndexOf ':' = 8 then
                    address.Substring 4
                else
                    address

            short.ToLowerInvariant()

        if gpus |> Array.exists (fun gpu -> gpu.PciBusId = "") then
            [||]
        else
            let listed = gpus |> Array.map (fun gpu -> place gpu.PciBusId)

            bound
            |> Array.map place
            |> Array.filter (fun address -> not (Array.contains address listed))
            |> Array.map (fun address -> SourceError.Unreadable($"NVIDIA GPU {address}", NotListed))

    let private describe (gpu: Gpu) =
        if gpu.Name = "" then $"GPU {gpu.Index}" else gpu.Name

    let private byWhom (fact: GpuFact) =
        match fact.Library with
        | Nvml.State.Opened count when count > 0 -> "libnvidia-ml"
        | _ -> NvidiaSmi.Source

    let private gpuNames (fact: GpuFact) =
        let names = fact.Reading.Gpus |> Array.countBy describe
        DoctorRow.list (names |> Seq.map (fun (name, count) -> $"{count} x {name}"))

    /// Everything that is known, in the order in which one thing needs the other.
    let private gpuDetail (fact: GpuFact) =
        let surroundings = fact.Surroundings
        // Nobody looks around when a call does not return.
        let isUnseen = fact.Hanging <> "" && surroundings.Devices.IsNone && surroundings.Driver = ""

        DoctorRow.list
            [
                match surroundings.Devices with
                | ValueSome count -> $"""{DoctorRow.plural count "NVIDIA device"} on the PCI bus"""
                | ValueNone when isUnseen -> ()
                | ValueNone -> "the PCI bus cannot be read"

                if isUnseen then
                    ()
                elif surroundings.Driver = "" then
                    "no driver"
                else
                    $"driver {surroundings.Driver}"

                    match surroundings.Nodes with
                    | GpuNodes.Missing -> "no /dev/nvidiactl"
                    | GpuNodes.Denied path -> $"{path}: permission denied"
                    | GpuNodes.Usable -> ()

                match fact.Library with
                | Nvml.State.NotTried -> ()
                | Nvml.State.NotLoaded problem -> $"{Nvml.Source}: {problem}"
                | Nvml.State.Failed code -> $"{Nvml.Source}: {Nvml.nameOf code}"
                | Nvml.State.Opened count -> $"""{Nvml.Source}: {DoctorRow.plural count "GPU"}"""

                match fact.NvidiaSmi with
                | NvidiaSmiState.NotAsked
                | NvidiaSmiState.Told -> ()
                | NvidiaSmiState.Missing -> "no nvidia-smi"
                | NvidiaSmiState.Hung -> "nvidia-smi: killed"
                | NvidiaSmiState.Failed(_, words) -> words

                if fact.Hanging <> "" then
                    fact.Hanging
            ]

    let private isLoss (fault: SourceError) =
        match fault with
        | SourceError.Unreadable(_, reason) -> reason = Nvml.nameOf 15 || reason = Nvml.nameOf 16 || reason = NotListed
        | SourceError.Absent _
        | SourceError.Garbled _ -> false

    let private isRefusal (fault: SourceError) =
        match fault with
        | SourceError.Unreadable(_, reason) -> reason = Nvml.nameOf 4
        | SourceError.Absent _
        | SourceError.Garbled _ -> false

    /// A driver that went away under a reading. The library is opened again at once, and if that fails there are no GPUs.
    let private isReload (fault: SourceError) =
        match fault with
        | SourceError.Unreadable(_, reason) -> reason = Nvml.nameOf 1 || reason = Nvml.nameOf 9
        | SourceError.Absent _
        | SourceError.Garbled _ -> false

    /// What is wrong with GPUs that are there.
    let private gpuFault (fact: GpuFact) : struct (CheckResult * Cause * string) voption =
        match Array.tryFind isLoss fact.Reading.Faults, Array.filter (isReload >> not) fact.Reading.Faults with
        | Some loss, _ -> ValueSome(CheckResult.Bad, Cause.GpuLost, string loss)
        | None, _ when fact.Hanging <> "" -> ValueSome(CheckResult.Bad, Cause.GpuLibraryHanging, fact.Hanging)
        | None, [||] -> ValueNone
        | None, faults ->
            match Array.tryFind isRefusal faults with
            | Some refusal -> ValueSome(CheckResult.Doubtful, Cause.GpuNoPermission, string refusal)
            | None -> ValueSome(CheckResult.Doubtful, Cause.GpuFieldsUnreadable, string faults[0])

    /// Why nothing that was asked works, in the order in which one thing needs the other.
    let private gpuObstacle (fact: GpuFact) : Cause voption =
        let { Driver = driver; Nodes = nodes } = fact.Surroundings

        match fact.Library, fact.NvidiaSmi with
        | _ when fact.Hanging <> "" -> ValueSome Cause.GpuLibraryHanging
        | _, NvidiaSmiState.Hung -> ValueSome Cause.GpuReaderHanging
        | Nvml.State.Failed 18, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.VersionMismatch, _) -> ValueSome Cause.GpuVersionMismatch
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.GpuLost, _) -> ValueSome Cause.GpuLost
        | _ when driver <> "" && nodes = GpuNodes.Missing -> ValueSome Cause.GpuNodesMissing
        | Nvml.State.Failed 4, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.NoPermission, _) -> ValueSome Cause.GpuNoPermission
        | _ when driver <> "" && nodes <> GpuNodes.Usable -> ValueSome Cause.GpuNoPermission
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.Other, _) when fact.Reader = GpuReader.NvidiaSmi -> ValueSome Cause.GpuReaderFailing
        | _ when driver = "" -> ValueSome Cause.GpuDriverMissing
        | Nvml.State.Failed 9, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.DriverNotLoaded, _) -> ValueSome Cause.GpuDriverMissing
        | Nvml.State.Failed 12, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.LibraryMissing, _)
        | Nvml.State.NotLoaded _, (NvidiaSmiState.NotAsked | NvidiaSmiState.Missing) -> ValueSome Cause.GpuLibraryMissing
        | Nvml.State.Failed _, _ -> ValueSome Cause.GpuLibraryFailing
        | _, NvidiaSmiState.Missing -> ValueSome Cause.GpuReaderMissing
        | Nvml.State.Opened _, _
        | _, NvidiaSmiState.Failed(NvidiaSmiFailure.NoDevices, _) -> ValueNone
        | _, NvidiaSmiState.Failed _ -> ValueSome Cause.GpuReaderFailing
        | _ -> ValueNone

    /// What is wrong with the GPUs, and how much that is known; none when nothing is.
    let private gpuTrouble (fact: GpuFact) : struct (CheckResult * Cause * string) voption =
        let isThere = fact.Surroundings.Devices |> ValueOption.exists (fun count -> count > 0)
        // Only a driver in the kernel has a version, or refuses.
        let isAnswered = fact.Library = Nvml.State.Failed 18 || fact.Library = Nvml.State.Failed 4

        // Whoever names nvidia-smi expects GPUs: that it fails for no reason that it gives is worth a word wherever that is.
        let isExpected =
            match fact.Reader, fact.NvidiaSmi with
            | GpuReader.NvidiaSmi, NvidiaSmiState.Failed(NvidiaSmiFailure.Other, _) -> true
            // Only a GPU that is there can be lost.
            | _, NvidiaSmiState.Failed(NvidiaSmiFailure.GpuLost, _) -> true
            | _ -> false

        let isNowhere = not isThere && fact.Surroundings.Driver = "" && not isAnswered && not isExpected

        if fact.Reader = GpuReader.None then
            ValueNone
        elif fact.Reading.Gpus.Length > 0 then
            gpuFault fact
        elif isNowhere && fact.Hanging = "" then
            ValueSome(CheckResult.Doubtful, Cause.NoGpu, gpuDetail fact)
        else
            match gpuObstacle fact with
            | ValueSome cause -> ValueSome(CheckResult.Bad, cause, gpuDetail fact)
            | ValueNone when isThere -> ValueSome(CheckResult.Bad, Cause.GpuHidden, gpuDetail fact)
            | ValueNone -> ValueSome(CheckResult.Doubtful, Cause.NoGpu, gpuDetail fact)

    /// Whether GPUs can be read, and if not, why.
    [<CompiledName "Row">]
    let row (fact: GpuFact) : Row =
        match gpuTrouble fact with
        | ValueSome struct (result, cause, detail) -> DoctorRow.trouble result "GPUs" cause detail
        | ValueNone when fact.Reader = GpuReader.None -> DoctorRow.good "GPUs" "not read, because of --gpu-source none"
        | ValueNone -> DoctorRow.good "GPUs" $"{gpuNames fact} ({byWhom fact})"

    /// What the line at the start says of GPUs, before they are known.
    [<CompiledName "InSight">]
    let inSight (reader: GpuReader) (surroundings: GpuSurroundings) : string =
        match reader, surroundings.Devices with
        | GpuReader.None, _ -> "not read"
        | _, ValueNone -> "unknown"
        | _, ValueSome 0 -> "none on the PCI bus"
        | _, ValueSome count -> $"{count} on the PCI bus"

    /// What is found on a machine without GPUs.
    [<CompiledName "None">]
    let none: GpuFinding =
        {
            Summary = "none"
            Problem = ""
            Advice = ""
        }

    /// A sentence as the end of another one: names keep their capitals.
    let private asEnd (sentence: string) =
        let body = sentence.TrimEnd '.'

        if body.Length > 1 && Char.IsUpper body[0] && not (Char.IsUpper body[1]) then
            string (Char.ToLowerInvariant body[0]) + body.Substring 1
        else
            body

    /// The same for the log of a running agent. A machine without GPUs needs no advice.
    [<CompiledName "Finding">]
    let finding (fact: GpuFact) : GpuFinding =
        let names =
            if fact.Reading.Gpus.Length > 0 then
                $"{gpuNames fact} ({byWhom fact})"
            else
                "none"

        match gpuTrouble fact with
        | ValueNone
        | ValueSome struct (_, Cause.NoGpu, _) -> { none with Summary = names }
        | ValueSome struct (_, cause, detail) ->
            {
                Summary = $"{names}, {(Remedies.ofCause cause).Key}"
                Problem = asEnd (Remedies.ofCause cause).Wrong
                Advice = DoctorRow.oneLine $"{Advice.line cause} ({detail})"
            }
