using System.Runtime.InteropServices;
using Agent.Core.Gpu;

namespace Agent.Host.Reading;

/// <summary>
/// libnvidia-ml, loaded: its functions as C declares them, found by name, so that the agent starts without it. A function
/// that this version of the library lacks answers FUNCTION_NOT_FOUND. Safe for all threads, as the library is.
/// </summary>
internal sealed unsafe class NvmlLibrary : IDisposable
{
    /// <summary>What the dynamic linker is asked for, in this order, where the user names no file.</summary>
    public static readonly string[] Names = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

    private const int Success = 0;
    private const int InsufficientSize = 7;
    private const int FunctionNotFound = 13;
    private const int NotSupported = 3;
    private const int Unknown = 999;

    /// <summary>Longer than any name or UUID: NVML_DEVICE_NAME_V2_BUFFER_SIZE and NVML_DEVICE_UUID_V2_BUFFER_SIZE are 96.</summary>
    private const int TextLength = 96;

    /// <summary>More processes than any GPU has; a library that wants room for more is broken.</summary>
    private const uint MostProcesses = 4096;

    /// <summary>
    /// What the place for a number holds before the call: all ones, which are no value. A library that answers SUCCESS and writes nothing has told
    /// nothing, and not 0.
    /// </summary>
    private const uint Untouched = uint.MaxValue;

    /// <summary>The same in the place for a long number.</summary>
    private const ulong Unwritten = ulong.MaxValue;

    private readonly nint library;
    private readonly delegate* unmanaged<int> init;
    private readonly delegate* unmanaged<int> shutdown;
    private readonly delegate* unmanaged<uint*, int> count;
    private readonly delegate* unmanaged<uint, nint*, int> handleByIndex;
    private readonly delegate* unmanaged<nint, byte*, uint, int> name;
    private readonly delegate* unmanaged<nint, byte*, uint, int> uuid;
    private readonly delegate* unmanaged<nint, NvmlUtilization*, int> utilization;
    private readonly delegate* unmanaged<nint, NvmlMemory*, int> memory;
    private readonly delegate* unmanaged<nint, NvmlMemoryV2*, int> memoryV2;
    private readonly delegate* unmanaged<nint, uint, uint*, int> temperature;
    private readonly delegate* unmanaged<nint, NvmlTemperature*, int> temperatureV;
    private readonly delegate* unmanaged<nint, NvmlPciInfo*, int> pciInfo;
    private readonly delegate* unmanaged<nint, uint*, int> fanSpeed;
    private readonly delegate* unmanaged<nint, uint*, int> power;
    private readonly delegate* unmanaged<nint, uint*, int> enforcedLimit;
    private readonly delegate* unmanaged<nint, uint*, int> managementLimit;
    private readonly delegate* unmanaged<nint, uint*, uint*, int> limitConstraints;
    private readonly delegate* unmanaged<nint, ulong*, int> throttleReasons;
    private readonly delegate* unmanaged<nint, ulong*, int> olderThrottleReasons;
    private readonly delegate* unmanaged<nint, uint, uint*, int> clock;
    private readonly delegate* unmanaged<nint, uint, uint*, int> maxClock;
    private readonly delegate* unmanaged<nint, uint*, int> linkGeneration;
    private readonly delegate* unmanaged<nint, uint*, int> linkWidth;
    private readonly delegate* unmanaged<nint, ulong*, int> energy;
    private readonly delegate* unmanaged<nint, uint*, uint*, int> encoder;
    private readonly delegate* unmanaged<nint, uint*, uint*, int> decoder;
    private readonly delegate* unmanaged<nint, int, NvmlFieldValue*, int> fieldValues;
    private readonly delegate* unmanaged<nint, uint*, uint*, int> migMode;
    private readonly delegate* unmanaged<nint, uint*, int> mostMigDevices;
    private readonly delegate* unmanaged<nint, uint, nint*, int> migHandle;
    private readonly delegate* unmanaged<nint, uint*, int> gpuInstance;
    private readonly delegate* unmanaged<nint, uint*, int> computeInstance;
    private readonly delegate* unmanaged<nint, uint, uint, ulong*, int> eccErrors;
    private readonly delegate* unmanaged<nint, uint*, uint*, uint*, uint*, int> remappedRows;
    private readonly delegate* unmanaged<nint, uint, uint*, int> pcieThroughput;
    private readonly delegate* unmanaged<nint, uint*, int> pcieReplays;
    private readonly delegate* unmanaged<byte*, uint, int> driverVersion;
    private readonly ProcessList computing;
    private readonly ProcessList clients;
    private readonly ProcessList drawing;
    private readonly delegate* unmanaged<nint*, int> createEvents;
    private readonly delegate* unmanaged<nint, int> freeEvents;
    private readonly delegate* unmanaged<nint, ulong, nint, int> registerEvents;
    private readonly delegate* unmanaged<nint, NvmlEventData*, uint, int> waitForEvent;

    private NvmlLibrary(nint library, string path)
    {
        this.library = library;
        Path = path;
        init = (delegate* unmanaged<int>)Find("nvmlInit_v2");
        shutdown = (delegate* unmanaged<int>)Find("nvmlShutdown");
        count = (delegate* unmanaged<uint*, int>)Find("nvmlDeviceGetCount_v2");
        handleByIndex = (delegate* unmanaged<uint, nint*, int>)Find("nvmlDeviceGetHandleByIndex_v2");
        name = (delegate* unmanaged<nint, byte*, uint, int>)Find("nvmlDeviceGetName");
        uuid = (delegate* unmanaged<nint, byte*, uint, int>)Find("nvmlDeviceGetUUID");
        utilization = (delegate* unmanaged<nint, NvmlUtilization*, int>)Find("nvmlDeviceGetUtilizationRates");
        memory = (delegate* unmanaged<nint, NvmlMemory*, int>)Find("nvmlDeviceGetMemoryInfo");
        memoryV2 = (delegate* unmanaged<nint, NvmlMemoryV2*, int>)Find("nvmlDeviceGetMemoryInfo_v2");
        temperature = (delegate* unmanaged<nint, uint, uint*, int>)Find("nvmlDeviceGetTemperature");
        temperatureV = (delegate* unmanaged<nint, NvmlTemperature*, int>)Find("nvmlDeviceGetTemperatureV");
        pciInfo = (delegate* unmanaged<nint, NvmlPciInfo*, int>)Find("nvmlDeviceGetPciInfo_v3");
        fanSpeed = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetFanSpeed");
        power = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetPowerUsage");
        enforcedLimit = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetEnforcedPowerLimit");
        managementLimit = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetPowerManagementLimit");
        limitConstraints = (delegate* unmanaged<nint, uint*, uint*, int>)Find("nvmlDeviceGetPowerManagementLimitConstraints");
        throttleReasons = (delegate* unmanaged<nint, ulong*, int>)Find("nvmlDeviceGetCurrentClocksEventReasons");
        olderThrottleReasons = (delegate* unmanaged<nint, ulong*, int>)Find("nvmlDeviceGetCurrentClocksThrottleReasons");
        clock = (delegate* unmanaged<nint, uint, uint*, int>)Find("nvmlDeviceGetClockInfo");
        maxClock = (delegate* unmanaged<nint, uint, uint*, int>)Find("nvmlDeviceGetMaxClockInfo");
        linkGeneration = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetCurrPcieLinkGeneration");
        linkWidth = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetCurrPcieLinkWidth");
        energy = (delegate* unmanaged<nint, ulong*, int>)Find("nvmlDeviceGetTotalEnergyConsumption");
        encoder = (delegate* unmanaged<nint, uint*, uint*, int>)Find("nvmlDeviceGetEncoderUtilization");
        decoder = (delegate* unmanaged<nint, uint*, uint*, int>)Find("nvmlDeviceGetDecoderUtilization");
        fieldValues = (delegate* unmanaged<nint, int, NvmlFieldValue*, int>)Find("nvmlDeviceGetFieldValues");
        migMode = (delegate* unmanaged<nint, uint*, uint*, int>)Find("nvmlDeviceGetMigMode");
        mostMigDevices = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetMaxMigDeviceCount");
        migHandle = (delegate* unmanaged<nint, uint, nint*, int>)Find("nvmlDeviceGetMigDeviceHandleByIndex");
        gpuInstance = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetGpuInstanceId");
        computeInstance = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetComputeInstanceId");
        eccErrors = (delegate* unmanaged<nint, uint, uint, ulong*, int>)Find("nvmlDeviceGetTotalEccErrors");
        remappedRows = (delegate* unmanaged<nint, uint*, uint*, uint*, uint*, int>)Find("nvmlDeviceGetRemappedRows");
        pcieThroughput = (delegate* unmanaged<nint, uint, uint*, int>)Find("nvmlDeviceGetPcieThroughput");
        pcieReplays = (delegate* unmanaged<nint, uint*, int>)Find("nvmlDeviceGetPcieReplayCounter");
        driverVersion = (delegate* unmanaged<byte*, uint, int>)Find("nvmlSystemGetDriverVersion");
        computing = new(
            Find("nvmlDeviceGetComputeRunningProcesses_v3", "nvmlDeviceGetComputeRunningProcesses_v2"),
            Find("nvmlDeviceGetComputeRunningProcesses"));
        clients = new(
            Find("nvmlDeviceGetMPSComputeRunningProcesses_v3", "nvmlDeviceGetMPSComputeRunningProcesses_v2"),
            Find("nvmlDeviceGetMPSComputeRunningProcesses"));
        drawing = new(
            Find("nvmlDeviceGetGraphicsRunningProcesses_v3", "nvmlDeviceGetGraphicsRunningProcesses_v2"),
            Find("nvmlDeviceGetGraphicsRunningProcesses"));
        createEvents = (delegate* unmanaged<nint*, int>)Find("nvmlEventSetCreate");
        freeEvents = (delegate* unmanaged<nint, int>)Find("nvmlEventSetFree");
        registerEvents = (delegate* unmanaged<nint, ulong, nint, int>)Find("nvmlDeviceRegisterEvents");
        waitForEvent = (delegate* unmanaged<nint, NvmlEventData*, uint, int>)Find("nvmlEventSetWait_v2", "nvmlEventSetWait");
    }

    /// <summary>The functions about jobs, looked up at their first use. For the one thread that reads it.</summary>
    public NvmlWorkCalls Work => field ??= new(this, library);

    /// <summary>What was loaded.</summary>
    public string Path { get; }

    /// <summary>
    /// Loads the library; null, and why not, if it cannot be. With a path that file alone, else whatever the dynamic
    /// linker finds under its names.
    /// </summary>
    public static NvmlLibrary? Open(string path, out string problem)
    {
        problem = "";

        foreach (var candidate in path.Length > 0 ? [path] : Names)
        {
            try
            {
                // The linker's words are worth the exception: only this tells "no such file" from "wrong ELF class".
                return new NvmlLibrary(NativeLibrary.Load(candidate), candidate);
            }
            catch (Exception error) when (error is DllNotFoundException or BadImageFormatException)
            {
                problem = problem.Length > 0 ? problem : Problem(path, candidate, error.Message);
            }
        }

        return null;
    }

    /// <summary>The linker's own words, which end the class library's advice about it, and who named the library.</summary>
    private static string Problem(string path, string candidate, string message)
    {
        var words = message.TrimEnd().Split('\n')[^1].Trim();
        var reason = words.StartsWith(candidate + ": ", StringComparison.Ordinal) ? words[(candidate.Length + 2)..] : words;

        return path.Length > 0 ? $"--nvml-library {candidate}: {reason}"
            : reason.Contains("No such file", StringComparison.Ordinal) ? $"{candidate} is not installed"
            : $"{candidate}: {reason}";
    }

    /// <summary>nvmlInit_v2.</summary>
    public int Init() => init is null ? FunctionNotFound : init();

    /// <summary>nvmlShutdown.</summary>
    public int Shutdown() => shutdown is null ? FunctionNotFound : shutdown();

    /// <summary>nvmlDeviceGetCount_v2.</summary>
    public Nvml.Call<uint> Count()
    {
        var value = 0u;
        return new(count is null ? FunctionNotFound : count(&value), value);
    }

    /// <summary>nvmlDeviceGetHandleByIndex_v2.</summary>
    public Nvml.Call<nint> HandleByIndex(int index)
    {
        nint value = 0;
        return new(handleByIndex is null ? FunctionNotFound : handleByIndex((uint)index, &value), value);
    }

    /// <summary>nvmlDeviceGetName.</summary>
    public Nvml.Call<string> Name(nint device) => TextOf(name, device);

    /// <summary>nvmlDeviceGetUUID.</summary>
    public Nvml.Call<string> Uuid(nint device) => TextOf(uuid, device);

    /// <summary>nvmlDeviceGetUtilizationRates.</summary>
    public Nvml.Call<NvmlUtilization> Utilization(nint device)
    {
        NvmlUtilization value = new() { Gpu = Untouched, Memory = Untouched };
        return new(utilization is null ? FunctionNotFound : utilization(device, &value), value);
    }

    /// <summary>
    /// nvmlDeviceGetMemoryInfo_v2, whose used memory is without what is reserved; where it is missing, fails in any way or answers with what
    /// cannot be, the older call, which does not tell what is reserved (all ones). What cannot be is given only where the older call fails.
    /// </summary>
    public Nvml.Call<NvmlMemoryV2> Memory(nint device)
    {
        NvmlMemoryV2 newer = new()
        {
            Version = NvmlMemoryV2.Version2,
            Total = Unwritten,
            Reserved = Unwritten,
            Free = Unwritten,
            Used = Unwritten,
        };
        var isNewer = memoryV2 is not null && memoryV2(device, &newer) == Success;

        if (isNewer && Nvml.IsPossibleMemory(newer.Total, newer.Used, newer.Free, newer.Reserved))
        {
            return new(Success, newer);
        }

        NvmlMemory older = new() { Total = Unwritten, Free = Unwritten, Used = Unwritten };
        var code = memory is null ? FunctionNotFound : memory(device, &older);
        return code != Success && isNewer
            ? new(Success, newer)
            : new(code, new NvmlMemoryV2 { Total = older.Total, Free = older.Free, Used = older.Used, Reserved = Unwritten });
    }

    /// <summary>
    /// nvmlDeviceGetTemperatureV of the sensor NVML_TEMPERATURE_GPU, else nvmlDeviceGetTemperature, whose unsigned number is a signed
    /// one in truth; all ones of that are no value.
    /// </summary>
    public Nvml.Call<int> Temperature(nint device)
    {
        NvmlTemperature value = new() { Version = NvmlTemperature.Version1, Temperature = int.MinValue };

        if (temperatureV is not null && temperatureV(device, &value) == Success && value.Temperature != int.MinValue)
        {
            return new(Success, value.Temperature);
        }

        var older = Number(temperature, device, 0);
        return older is { Code: Success, Value: uint.MaxValue } ? new(NotSupported, 0) : new(older.Code, (int)older.Value);
    }

    /// <summary>nvmlPciInfo_t.busId of nvmlDeviceGetPciInfo_v3, such as 00000000:65:00.0.</summary>
    public Nvml.Call<string> PciBusId(nint device)
    {
        NvmlPciInfo value = default;
        var code = pciInfo is null ? FunctionNotFound : pciInfo(device, &value);
        return TextIn(code, new(value.BusId, NvmlPciInfo.BusIdLength));
    }

    /// <summary>nvmlDeviceGetFanSpeed.</summary>
    public Nvml.Call<uint> FanSpeed(nint device) => Number(fanSpeed, device);

    /// <summary>nvmlDeviceGetPowerUsage.</summary>
    public Nvml.Call<uint> Power(nint device) => Number(power, device);

    /// <summary>nvmlDeviceGetEnforcedPowerLimit.</summary>
    public Nvml.Call<uint> EnforcedPowerLimit(nint device) => Number(enforcedLimit, device);

    /// <summary>nvmlDeviceGetPowerManagementLimit.</summary>
    public Nvml.Call<uint> ManagementPowerLimit(nint device) => Number(managementLimit, device);

    /// <summary>The higher one of nvmlDeviceGetPowerManagementLimitConstraints.</summary>
    public Nvml.Call<uint> PowerLimitMax(nint device)
    {
        uint lowest, highest = Untouched;
        return new(limitConstraints is null ? FunctionNotFound : limitConstraints(device, &lowest, &highest), highest);
    }

    /// <summary>nvmlDeviceGetCurrentClocksEventReasons; where it is missing, as before driver 535, or fails, by its older name.</summary>
    public Nvml.Call<ulong> ThrottleReasons(nint device)
    {
        var newer = Counter(throttleReasons, device);
        return IsFinal(newer.Code) ? newer : Told(newer, Counter(olderThrottleReasons, device));
    }

    /// <summary>nvmlDeviceGetClockInfo of NVML_CLOCK_SM.</summary>
    public Nvml.Call<uint> ClockSm(nint device) => Number(clock, device, 1);

    /// <summary>nvmlDeviceGetClockInfo of NVML_CLOCK_MEM.</summary>
    public Nvml.Call<uint> ClockMemory(nint device) => Number(clock, device, 2);

    /// <summary>nvmlDeviceGetMaxClockInfo of NVML_CLOCK_SM.</summary>
    public Nvml.Call<uint> ClockSmMax(nint device) => Number(maxClock, device, 1);

    /// <summary>nvmlDeviceGetCurrPcieLinkGeneration.</summary>
    public Nvml.Call<uint> PcieLinkGeneration(nint device) => Number(linkGeneration, device);

    /// <summary>nvmlDeviceGetCurrPcieLinkWidth.</summary>
    public Nvml.Call<uint> PcieLinkWidth(nint device) => Number(linkWidth, device);

    /// <summary>nvmlDeviceGetTotalEnergyConsumption.</summary>
    public Nvml.Call<ulong> Energy(nint device) => Counter(energy, device);

    /// <summary>nvmlDeviceGetEncoderUtilization.</summary>
    public Nvml.Call<uint> Encoder(nint device) => FirstOfTwo(encoder, device);

    /// <summary>nvmlDeviceGetDecoderUtilization.</summary>
    public Nvml.Call<uint> Decoder(nint device) => FirstOfTwo(decoder, device);

    /// <summary>nvmlDeviceGetMigMode, current.</summary>
    public Nvml.Call<uint> MigMode(nint device) => FirstOfTwo(migMode, device);

    /// <summary>nvmlDeviceGetMaxMigDeviceCount.</summary>
    public Nvml.Call<uint> MostMigDevices(nint device) => Number(mostMigDevices, device);

    /// <summary>nvmlDeviceGetMigDeviceHandleByIndex.</summary>
    public Nvml.Call<nint> MigHandle(nint device, int index)
    {
        nint value = 0;
        return new(migHandle is null ? FunctionNotFound : migHandle(device, (uint)index, &value), value);
    }

    /// <summary>nvmlDeviceGetGpuInstanceId.</summary>
    public Nvml.Call<uint> GpuInstance(nint migDevice) => Number(gpuInstance, migDevice);

    /// <summary>nvmlDeviceGetComputeInstanceId.</summary>
    public Nvml.Call<uint> ComputeInstance(nint migDevice) => Number(computeInstance, migDevice);

    /// <summary>nvmlDeviceGetTotalEccErrors, NVML_VOLATILE_ECC (since the driver was loaded) or NVML_AGGREGATE_ECC.</summary>
    public Nvml.Call<ulong> EccErrors(nint device, bool uncorrected, bool isVolatile)
    {
        var value = ulong.MaxValue;
        return new(eccErrors is null ? FunctionNotFound : eccErrors(device, uncorrected ? 1u : 0u, isVolatile ? 0u : 1u, &value), value);
    }

    /// <summary>nvmlDeviceGetRemappedRows.</summary>
    public Nvml.Call<Nvml.RemappedRows> RemappedRows(nint device)
    {
        uint correctable = Untouched, uncorrectable = Untouched, pending = Untouched, failed = Untouched;
        var code = remappedRows is null ? FunctionNotFound : remappedRows(device, &correctable, &uncorrectable, &pending, &failed);
        return new(code, new(correctable, uncorrectable, pending, failed));
    }

    /// <summary>nvmlDeviceGetPcieReplayCounter.</summary>
    public Nvml.Call<uint> PcieReplays(nint device) => Number(pcieReplays, device);

    /// <summary>nvmlDeviceGetPcieThroughput of NVML_PCIE_UTIL_TX_BYTES or NVML_PCIE_UTIL_RX_BYTES; takes 20 ms.</summary>
    public Nvml.Call<uint> PcieThroughput(nint device, bool received) => Number(pcieThroughput, device, received ? 1u : 0u);

    /// <summary>nvmlDeviceGetFieldValues of one field; all ones ask for all of what the scope tells apart.</summary>
    public Nvml.Field Field(nint device, uint field, uint scope)
    {
        NvmlFieldValue value = new() { FieldId = field, ScopeId = scope, NvmlReturn = NotSupported };
        var code = fieldValues is null ? FunctionNotFound : fieldValues(device, 1, &value);
        return new(code == Success ? value.NvmlReturn : code, (int)value.ValueType, value.Value);
    }

    /// <summary>nvmlDeviceGetFieldValues of several fields, in their order.</summary>
    public Nvml.Field[] Fields(nint device, uint[] fields)
    {
        var values = stackalloc NvmlFieldValue[fields.Length];
        var found = new Nvml.Field[fields.Length];

        for (var i = 0; i < fields.Length; i++)
        {
            values[i] = new() { FieldId = fields[i], NvmlReturn = NotSupported };
        }

        var code = fieldValues is null ? FunctionNotFound : fieldValues(device, fields.Length, values);

        for (var i = 0; i < fields.Length; i++)
        {
            found[i] = new(code == Success ? values[i].NvmlReturn : code, (int)values[i].ValueType, values[i].Value);
        }

        return found;
    }

    /// <summary>nvmlDeviceGetComputeRunningProcesses, its newest version that there is, with what nvmlDeviceGetMPSComputeRunningProcesses adds.</summary>
    /// <param name="device">Whose processes.</param>
    /// <param name="buffer">Is made larger when there are more processes than fit.</param>
    public Nvml.Call<ComputeProcess[]> Processes(nint device, ref byte[] buffer) =>
        Nvml.Computing(ListOf(computing, device, ref buffer), ListOf(clients, device, ref buffer));

    /// <summary>nvmlDeviceGetGraphicsRunningProcesses, likewise.</summary>
    public Nvml.Call<ComputeProcess[]> GraphicsProcesses(nint device, ref byte[] buffer) => ListOf(drawing, device, ref buffer);

    private static Nvml.Call<ComputeProcess[]> ListOf(ProcessList list, nint device, ref byte[] buffer)
    {
        var newer = ListOf(list.Newer, 24, device, ref buffer);
        return IsFinal(newer.Code) ? newer : Told(newer, ListOf(list.Oldest, 16, device, ref buffer));
    }

    private static Nvml.Call<ComputeProcess[]> ListOf(
        delegate* unmanaged<nint, uint*, byte*, int> list, int entry, nint device, ref byte[] buffer)
    {
        while (list is not null)
        {
            buffer.AsSpan().Fill(Nvml.Untouched);
            var room = (uint)(buffer.Length / Nvml.LargestProcessEntry);
            var found = room;
            int code;

            fixed (byte* entries = buffer)
            {
                code = list(device, &found, entries);
            }

            // There may be more again when it is asked again.
            if (code == InsufficientSize && found > room && found <= MostProcesses)
            {
                buffer = new byte[(found + 16) * Nvml.LargestProcessEntry];
                continue;
            }

            return new(code, code == Success ? Nvml.Processes(buffer, (int)Math.Min(found, room), entry) : []);
        }

        return new(FunctionNotFound, []);
    }

    /// <summary>nvmlEventSetCreate.</summary>
    public Nvml.Call<nint> CreateEvents()
    {
        nint value = 0;
        return new(createEvents is null || waitForEvent is null ? FunctionNotFound : createEvents(&value), value);
    }

    /// <summary>nvmlEventSetFree.</summary>
    public void FreeEvents(nint events)
    {
        if (freeEvents is not null)
        {
            freeEvents(events);
        }
    }

    /// <summary>nvmlDeviceRegisterEvents for nvmlEventTypeXidCriticalError.</summary>
    public int RegisterXid(nint device, nint events) =>
        registerEvents is null ? FunctionNotFound : registerEvents(device, 8, events);

    /// <summary>nvmlEventSetWait; code 10 when nothing came within the limit.</summary>
    public Nvml.Call<NvmlEventData> WaitForEvent(nint events, TimeSpan limit)
    {
        NvmlEventData value = default;
        return new(waitForEvent is null ? FunctionNotFound : waitForEvent(events, &value, (uint)limit.TotalMilliseconds), value);
    }

    /// <summary>Unloads the library, so that the next opening takes the file that is there by then. No thread may be in a call.</summary>
    public void Dispose() => NativeLibrary.Free(library);

    /// <summary>nvmlSystemGetDriverVersion.</summary>
    public Nvml.Call<string> DriverVersion()
    {
        var text = stackalloc byte[TextLength + 1];
        var code = driverVersion is null ? FunctionNotFound : driverVersion(text, TextLength);
        return TextIn(code, new(text, TextLength + 1));
    }

    private static Nvml.Call<string> TextOf(delegate* unmanaged<nint, byte*, uint, int> function, nint device)
    {
        var text = stackalloc byte[TextLength + 1];
        var code = function is null ? FunctionNotFound : function(device, text, TextLength);
        return TextIn(code, new(text, TextLength + 1));
    }

    // What is no text was not told, whatever the call says.
    private static Nvml.Call<string> TextIn(int code, ReadOnlySpan<byte> buffer) =>
        code != Success ? new(code, "")
        : Nvml.TextIn(buffer) is { IsSome: true, Value: var text } ? new(Success, text)
        : new(Unknown, "");

    private static Nvml.Call<uint> Number(delegate* unmanaged<nint, uint*, int> function, nint device)
    {
        var value = Untouched;
        return new(function is null ? FunctionNotFound : function(device, &value), value);
    }

    private static Nvml.Call<uint> Number(delegate* unmanaged<nint, uint, uint*, int> function, nint device, uint which)
    {
        var value = Untouched;
        return new(function is null ? FunctionNotFound : function(device, which, &value), value);
    }

    private static Nvml.Call<uint> FirstOfTwo(delegate* unmanaged<nint, uint*, uint*, int> function, nint device)
    {
        uint value = Untouched, other;
        return new(function is null ? FunctionNotFound : function(device, &value, &other), value);
    }

    private static Nvml.Call<ulong> Counter(delegate* unmanaged<nint, ulong*, int> function, nint device)
    {
        var value = ulong.MaxValue;
        return new(function is null ? FunctionNotFound : function(device, &value), value);
    }

    /// <summary>Whether a newer version of a call need not be followed by an older one: it answered, or the board does not have the value.</summary>
    private static bool IsFinal(int code) => code == Success || (code != FunctionNotFound && Nvml.IsAbsence(code));

    /// <summary>What the older version of a call told, and if neither told anything why the newer one did not, unless there is none.</summary>
    private static Nvml.Call<T> Told<T>(Nvml.Call<T> newer, Nvml.Call<T> older) =>
        older.Code == Success || newer.Code == FunctionNotFound ? older : newer;

    private void* Find(params ReadOnlySpan<string> names) => Find(library, names);

    /// <summary>The first function of these names that a library has; null without any.</summary>
    internal static void* Find(nint library, params ReadOnlySpan<string> names)
    {
        foreach (var candidate in names)
        {
            if (NativeLibrary.TryGetExport(library, candidate, out var address))
            {
                return (void*)address;
            }
        }

        return null;
    }

    /// <summary>A function that lists processes.</summary>
    /// <param name="newer">Its second or third version, whose entries have 24 bytes; null without one.</param>
    /// <param name="oldest">Its first version, whose entries have 16.</param>
    private readonly struct ProcessList(void* newer, void* oldest)
    {
        /// <summary>The second or third version.</summary>
        public delegate* unmanaged<nint, uint*, byte*, int> Newer { get; } = (delegate* unmanaged<nint, uint*, byte*, int>)newer;

        /// <summary>The first version.</summary>
        public delegate* unmanaged<nint, uint*, byte*, int> Oldest { get; } = (delegate* unmanaged<nint, uint*, byte*, int>)oldest;
    }
}
