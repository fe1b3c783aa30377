namespace Agent.Sender

open System
open System.Collections.Generic
open System.Globalization
open Agent.Core
open Agent.Core.Jobs
open Agent.Core.Units
open FsToolkit.ErrorHandling

/// How an option is called where it is not on the command line.
[<RequireQualifiedAccess>]
module Flag =
    /// The environment variable that stands for a flag: `--cpu-sample-interval` is AI_DASHBOARD_CPU_SAMPLE_INTERVAL.
    [<CompiledName "Variable">]
    let variable (flag: string) : string =
        "AI_DASHBOARD_" + flag.TrimStart('-').ToUpperInvariant().Replace('-', '_')

/// Sentences for what is wrong with a value, and where it was given.
module internal GivenFaults =
    let private quoted (text: string) =
        $"\"{Text.excerpt (ReadOnlySpan(Text.Encoding.UTF8.GetBytes text))}\""

    let error (given: Given) (expected: string) : ConfigError =
        {
            Origin = given.Origin
            Message = $"{given.Origin}: {quoted given.Text} is not {expected}"
        }

    /// For values that may hold a secret: the text is not repeated.
    let errorWithoutText (given: Given) (message: string) : ConfigError =
        {
            Origin = given.Origin
            Message = $"{given.Origin}: {message}"
        }

    let isFlag (given: Given) =
        given.Origin.StartsWith("--", StringComparison.Ordinal)

    let missing (flag: string) : ConfigError =
        let origin = $"{flag} (or {Flag.variable flag})"

        {
            Origin = origin
            Message = $"Missing {origin}"
        }

/// Reads what was given for one option: a number, a word, a name or a path.
module internal GivenValues =
    open GivenFaults

    let secondsOf (given: Given) : Result<float, ConfigError> =
        match Double.TryParse(given.Text, NumberStyles.Float, CultureInfo.InvariantCulture) with
        | true, seconds when Double.IsFinite seconds -> Ok seconds
        | _ -> Error(error given "a number of seconds")

    /// The shortest interval between two samples.
    let shortestInterval = 0.5

    let private longestInterval = 86400.0

    let intervalOf (given: Given) : Result<float, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds > longestInterval then
                Error(error given "an interval of at most 86400 seconds, which is one day")
            else
                Ok seconds)

    let timeoutOf (given: Given) : Result<TimeSpan, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds > 0.0 && seconds <= 600.0 then
                // The clocks that it is measured with tell milliseconds.
                Ok(TimeSpan.FromSeconds(max seconds 0.001))
            else
                Error(error given "a time-out above 0 and up to 600 seconds"))

    /// A verdict needs ten seconds of evidence, and the first evidence takes a few.
    let watchOf (given: Given) : Result<TimeSpan, ConfigError> =
        secondsOf given
        |> Result.bind (fun seconds ->
            if seconds >= 20.0 && seconds <= 600.0 then
                Ok(TimeSpan.FromSeconds seconds)
            else
                Error(error given "from 20 to 600 seconds"))

    /// The words of `--log-level`.
    let logLevels =
        [|
            "DEBUG", LogLevel.Debug
            "INFO", LogLevel.Info
            "WARNING", LogLevel.Warning
            "ERROR", LogLevel.Error
            "CRITICAL", LogLevel.Critical
        |]

    /// The words of `--gpu-source`.
    let gpuReaders =
        [|
            "nvml", GpuReader.Nvml
            "nvidia-smi", GpuReader.NvidiaSmi
            "none", GpuReader.None
            "auto", GpuReader.Auto
        |]

    /// The words of `--job-detail`.
    let jobDetails = [| "full", JobDetail.Full; "names", JobDetail.Names; "none", JobDetail.None |]

    /// The meaning of a word that is one of a few, in any case.
    let private oneOf (words: (string * 'a)[]) (given: Given) : Result<'a, ConfigError> =
        let text = given.Text.Trim()

        match
            words
            |> Array.tryFind (fun (word, _) -> String.Equals(word, text, StringComparison.OrdinalIgnoreCase))
        with
        | Some(_, meaning) -> Ok meaning
        | None -> Error(error given ("one of " + (words |> Array.map fst |> String.concat ", ")))

    let levelOf (given: Given) : Result<LogLevel, ConfigError> = oneOf logLevels given

    let gpuReaderOf (given: Given) : Result<GpuReader, ConfigError> = oneOf gpuReaders given

    let jobDetailOf (given: Given) : Result<JobDetail, ConfigError> = oneOf jobDetails given

    /// Mebibytes, from 1 to 2^20, which is a tebibyte.
    let mebibytesOf (given: Given) : Result<uint64<B>, ConfigError> =
        match UInt64.TryParse(given.Text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture) with
        | true, number when number >= 1UL && number <= 1048576UL -> Ok(bytesOfMib (LanguagePrimitives.UInt64WithMeasure number))
        | _ -> Error(error given "a whole number of megabytes, 1 to 1048576")

    /// What a switch can be given as.
    let switchWords = "1, true, yes, on or 0, false, no, off"

    let switchOf (given: Given) : Result<bool, ConfigError> =
        match given.Text.Trim().ToLowerInvariant() with
        | "1"
        | "true"
        | "yes"
        | "on" -> Ok true
        | "0"
        | "false"
        | "no"
        | "off" -> Ok false
        // What stands behind a switch may be a token that was glued to the wrong option.
        | _ when isFlag given -> Error(errorWithoutText given $"a switch takes {switchWords}, or no value")
        | _ -> Error(error given $"a switch: {switchWords}")

    let private names (text: string) : string[] =
        text.Split(',', StringSplitOptions.RemoveEmptyEntries ||| StringSplitOptions.TrimEntries)

    let namesOf (given: Given) : Result<string[], ConfigError> =
        match names given.Text with
        | [||] -> Error(error given "a comma-separated list of names")
        | list -> Ok list

    /// The defaults, with those that are named, and without those that are named behind a minus sign.
    let collectorsOf (given: Given) : Result<string[], ConfigError> =
        let known = Collectors.all |> Array.map (fun collector -> collector.Name)
        let words = names given.Text
        let isOff (word: string) = word.StartsWith '-'

        let nameOf (word: string) =
            if isOff word then word.Substring 1 else word

        match words |> Array.tryFind (fun word -> not (Array.contains (nameOf word) known)) with
        | _ when words.Length = 0 -> Error(error given "a comma-separated list of names")
        | Some word ->
            Error(error { given with Text = word } ("one of " + String.concat ", " known + ", or one with a minus sign before it"))
        | None ->
            known
            |> Array.filter (fun name ->
                not (Array.contains ("-" + name) words)
                && (Array.contains name words || Array.contains name Collectors.defaults))
            |> Ok

    let labelOf (given: Given) (text: string) : Result<struct (string * string), ConfigError> =
        let separator = text.IndexOf '='

        let key =
            if separator > 0 then
                text.Substring(0, separator).Trim()
            else
                ""

        if key = "" then
            Error(error { given with Text = text } "a label of the form key=value")
        else
            Ok(struct (key, text.Substring(separator + 1).Trim()))

    /// Labels of the flag and of the variable together; the flag wins, and of repeated keys the last.
    let labelsOf (flags: Given[]) (variable: Given voption) : Result<(struct (string * string))[], ConfigError list> =
        let fromVariable =
            match variable with
            | ValueSome given -> names given.Text |> Array.map (labelOf given)
            | ValueNone -> [||]

        let fromFlags = flags |> Array.map (fun given -> labelOf given given.Text)

        Array.append fromVariable fromFlags
        |> List.ofArray
        |> List.map Validation.ofResult
        |> List.sequenceValidationA
        |> Result.map (fun labels ->
            let order = ResizeArray<string>()
            let values = Dictionary<string, string>(StringComparer.Ordinal)

            for struct (key, value) in labels do
                if not (values.ContainsKey key) then
                    order.Add key

                values[key] <- value

            order.ToArray() |> Array.map (fun key -> struct (key, values[key])))

    let jobOf (given: Given) : Result<string, ConfigError> =
        if JobTotals.isId (given.Text.Trim()) then
            Ok(given.Text.Trim())
        else
            Error(error given "the id of a job: letters, digits, and . _ + -, at most 64")

    let textOf (given: Given) : Result<string, ConfigError> =
        let text = given.Text.Trim()

        if text = "" || text |> Seq.exists Char.IsControl then
            Error(error given "a name without control characters")
        else
            Ok text

    let pathOf (given: Given) : Result<string, ConfigError> =
        // "/" itself stays; any other root loses its last slash, so that paths can be put after it.
        match given.Text with
        | "" -> Error(error given "a directory")
        | path when path.Contains '\000' -> Error(error given "a directory")
        | path when path.TrimEnd('/') = "" -> Ok "/"
        | path -> Ok(path.TrimEnd '/')

    let fileOf (given: Given) : Result<string, ConfigError> =
        match given.Text.Trim() with
        | ""
        | "/" -> Error(error given "a file")
        | path when path.Contains '\000' -> Error(error given "a file")
        | path -> Ok path
