namespace Agent.Core.Gpu

open System
open System.Globalization
open Agent.Core

/// What nvidia-smi is asked for about each GPU. It begins with all that is wanted and loses what a driver does not know.
type NvidiaSmiQuery = private { Fields: string[] }

/// Why nvidia-smi gave no GPUs.
[<RequireQualifiedAccess>]
type NvidiaSmiFailure =
    /// The driver is older than this field.
    | UnknownField of field: string
    /// There is no driver in the kernel, or it does not answer.
    | DriverNotLoaded
    /// The library and the kernel's driver are of two versions, as after an update without a reboot.
    | VersionMismatch
    /// The device files may not be opened.
    | NoPermission
    /// libnvidia-ml.so is missing.
    | LibraryMissing
    /// A driver without a GPU.
    | NoDevices
    /// "Unknown Error" at the start, as in a container that has lost its device files.
    | UnknownError
    /// A GPU fell off the bus, or wants a reset, and nvidia-smi gave up over it.
    | GpuLost
    /// Anything else.
    | Other

    /// Calls the function for the case that this is.
    member this.Match
        (
            unknownField: Func<string, 'r>,
            driverNotLoaded: Func<'r>,
            versionMismatch: Func<'r>,
            noPermission: Func<'r>,
            libraryMissing: Func<'r>,
            noDevices: Func<'r>,
            unknownError: Func<'r>,
            gpuLost: Func<'r>,
            other: Func<'r>
        ) : 'r =
        match this with
        | UnknownField field -> unknownField.Invoke field
        | DriverNotLoaded -> driverNotLoaded.Invoke()
        | VersionMismatch -> versionMismatch.Invoke()
        | NoPermission -> noPermission.Invoke()
        | LibraryMissing -> libraryMissing.Invoke()
        | NoDevices -> noDevices.Invoke()
        | UnknownError -> unknownError.Invoke()
        | GpuLost -> gpuLost.Invoke()
        | Other -> other.Invoke()

/// Reading the words that nvidia-smi prints in the place of a table.
[<RequireQualifiedAccess>]
module NvidiaSmiFailure =
    let private complaintStart = "Field \""B
    let private complaintEnd = "\" is not a valid field to query"B

    // From the first page of output: a message may follow a warning.
    let private unknownField (text: ReadOnlySpan<byte>) : string voption =
        match text.IndexOf(ReadOnlySpan complaintStart) with
        | -1 -> ValueNone
        | start ->
            let name = text.Slice(start + complaintStart.Length)

            match name.IndexOf(ReadOnlySpan complaintEnd) with
            | -1 -> ValueNone
            | length -> ValueSome(Text.toString (name.Slice(0, length)))

    /// The first words of what was printed, as an error message shows them.
    [<CompiledName "WordsOf">]
    let wordsOf (output: ReadOnlySpan<byte>) : string =
        let trimmed = output.Trim(ReadOnlySpan " \t\r\n"B)

        if trimmed.IsEmpty then
            "it printed nothing"
        else
            match trimmed.IndexOf '\n'B with
            | -1 -> Text.longExcerpt trimmed
            | length -> Text.longExcerpt (Text.trim (trimmed.Slice(0, length)))

    /// Why a GPU tells nothing, by words such as `Unable to determine the device handle for GPU0000:41:00.0: GPU is lost.  Reboot the system to
    /// recover this GPU` or a cell such as `[GPU requires reset]`, in the words of nvml.h, which are the same from the library; empty where they
    /// are about something else. A board whose handle cannot be determined for an unknown error is as good as lost.
    [<CompiledName "LossOf">]
    let lossOf (words: string) : string =
        let says (phrase: string) =
            words.Contains(phrase, StringComparison.OrdinalIgnoreCase)

        if
            says "GPU is lost"
            || says "Unable to determine the device handle" && says "Unknown Error"
        then
            "GPU_IS_LOST"
        elif
            says "GPU requires reset"
            || says "GPU requires a reset"
            || says "[Reset required"
        then
            "RESET_REQUIRED"
        else
            ""

    /// True for what `lossOf` says of a lost board.
    [<CompiledName "IsLoss">]
    let isLoss (reason: string) : bool =
        reason = "GPU_IS_LOST" || reason = "RESET_REQUIRED"

    /// Why a cell such as `[Unknown Error]` holds no value, in the words of nvml.h where they are known; empty for words that say that this board
    /// or driver does not have the value, as `Nvml.isAbsence` has them of codes.
    [<CompiledName "ReasonOf">]
    let reasonOf (cell: string) : string =
        let words = cell.Trim('[', ']', ' ')

        let says (phrase: string) =
            words.Contains(phrase, StringComparison.OrdinalIgnoreCase)

        match lossOf cell with
        | "" ->
            if
                words = ""
                || says "N/A"
                || says "Not Supported"
                || says "Not Available"
                || says "Not Applicable"
                || says "Not Found"
                || says "deprecated"
                || says "No data"
                || says "Disabled"
            then
                ""
            elif says "Unknown Error" then
                "UNKNOWN"
            elif says "Insufficient Permissions" then
                "NO_PERMISSION"
            elif says "blocked by the operating system" || says "operating system has blocked" then
                "OPERATING_SYSTEM"
            else
                words
        | loss -> loss

    /// True for reasons that say that the session of a running nvidia-smi with the driver is at an end, if values that it told are refused for them.
    [<CompiledName "MayEndSession">]
    let mayEndSession (reason: string) : bool =
        not (isLoss reason) && reason <> "NO_PERMISSION"

    /// What a run without a table says of its cause, by the words of its output, else by its exit code, as nvidia-smi(1)
    /// lists them under "RETURN VALUE".
    [<CompiledName "Of">]
    let ofOutput (exitCode: int) (output: ReadOnlySpan<byte>) : NvidiaSmiFailure =
        match unknownField output with
        | ValueSome field -> NvidiaSmiFailure.UnknownField field
        | ValueNone ->
            let text = Text.toString output

            let says (words: string) =
                text.Contains(words, StringComparison.OrdinalIgnoreCase)

            if says "driver/library version mismatch" then
                NvidiaSmiFailure.VersionMismatch
            elif says "communicate with the NVIDIA driver" || says "driver not loaded" then
                NvidiaSmiFailure.DriverNotLoaded
            elif lossOf text <> "" then
                NvidiaSmiFailure.GpuLost
            elif says "insufficient permissions" || says "access blocked by the operating system" then
                NvidiaSmiFailure.NoPermission
            elif says "couldn't find libnvidia-ml" || says "NVML shared library" then
                NvidiaSmiFailure.LibraryMissing
            elif says "no devices were found" then
                NvidiaSmiFailure.NoDevices
            elif says "failed to initialize NVML: unknown error" then
                NvidiaSmiFailure.UnknownError
            else
                match exitCode with
                | 4 -> NvidiaSmiFailure.NoPermission
                | 9 -> NvidiaSmiFailure.DriverNotLoaded
                | 12 -> NvidiaSmiFailure.LibraryMissing
                | 15 -> NvidiaSmiFailure.GpuLost
                | 18 -> NvidiaSmiFailure.VersionMismatch
                | _ -> NvidiaSmiFailure.Other

/// Building the query, and making do with less.
[<RequireQualifiedAccess>]
module NvidiaSmiQuery =
    /// The fields that every driver knows, in the order in which a table without a header is read.
    [<CompiledName "Basic">]
    let basic: string[] =
        [|
            "index"
            "name"
            "uuid"
            "utilization.gpu"
            "utilization.memory"
            "memory.total"
            "memory.used"
            "temperature.gpu"
            "fan.speed"
            "power.draw"
            "power.limit"
        |]

    /// All that is wanted.
    [<CompiledName "Full">]
    let full: NvidiaSmiQuery =
        {
            Fields =
                Array.append
                    basic
                    [|
                        "count"
                        "pci.bus_id"
                        "memory.free"
                        "memory.reserved"
                        "enforced.power.limit"
                        "clocks_event_reasons.active"
                        "clocks.current.sm"
                        "clocks.current.memory"
                        "pcie.link.gen.current"
                        "pcie.link.width.current"
                        "ecc.errors.uncorrected.aggregate.total"
                        "ecc.errors.corrected.aggregate.total"
                        "remapped_rows.pending"
                        "utilization.encoder"
                        "utilization.decoder"
                        "temperature.memory"
                        "mig.mode.current"
                        "clocks.max.sm"
                    |]
        }

    /// What a field was called before, to be asked for where the driver does not know the new name.
    let private formerName (field: string) : string voption =
        match field with
        // Renamed with driver 535.
        | "clocks_event_reasons.active" -> ValueSome "clocks_throttle_reasons.active"
        | _ -> ValueNone

    /// The fields, in the order of the columns.
    [<CompiledName "Fields">]
    let fields (query: NvidiaSmiQuery) : string[] = query.Fields

    /// The query without a field that the driver does not know, or with that field's former name. None when the field is
    /// not part of it or a GPU cannot be distinguished from another without it.
    [<CompiledName "Without">]
    let without (field: string) (query: NvidiaSmiQuery) : NvidiaSmiQuery voption =
        match Array.IndexOf(query.Fields, field) with
        | -1 -> ValueNone
        | _ when field = "index" -> ValueNone
        | place ->
            ValueSome
                {
                    Fields =
                        match formerName field with
                        | ValueSome former -> Array.updateAt place former query.Fields
                        | ValueNone -> Array.removeAt place query.Fields
                }

    let private csv = "--format=csv,nounits"

    /// The arguments of a run that prints one table and ends.
    [<CompiledName "Arguments">]
    let arguments (query: NvidiaSmiQuery) : string[] =
        [| "--query-gpu=" + String.Join(',', query.Fields); csv |]

    /// The arguments of a run that prints a round of rows at each interval, in whole milliseconds, and does not end.
    [<CompiledName "LoopArguments">]
    let loopArguments (interval: TimeSpan) (query: NvidiaSmiQuery) : string[] =
        let milliseconds = (max 1L (int64 interval.TotalMilliseconds)).ToString CultureInfo.InvariantCulture
        Array.append (arguments query) [| "--loop-ms=" + milliseconds |]

    /// The arguments of a run that tells who computes on which GPU.
    [<CompiledName "ProcessArguments">]
    let processArguments: string[] = [| "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"; csv |]
