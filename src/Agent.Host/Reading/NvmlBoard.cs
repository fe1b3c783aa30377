using Agent.Core.Gpu;
using Microsoft.FSharp.Core;

namespace Agent.Host.Reading;

/// <summary>One GPU in one opening of the library.</summary>
/// <param name="library">Asked about it.</param>
/// <param name="index">Its place in the library's order.</param>
/// <param name="handle">What asking for its handle gave.</param>
/// <param name="name">What asking for its name gave; it does not change while the library is open.</param>
/// <param name="uuid">What asking for its UUID gave.</param>
/// <param name="identity">Who it is, as far as anybody ever knew.</param>
/// <param name="clock">The monotonic clock.</param>
internal sealed class NvmlBoard(
    NvmlLibrary library,
    int index,
    Nvml.Call<nint> handle,
    Nvml.Call<string> name,
    Nvml.Call<string> uuid,
    Nvml.Identity identity,
    AgentClock clock)
{
    private const uint MemoryTemperatureField = 82;
    private const uint NvlinkSentField = 138;
    private const uint NvlinkReceivedField = 139;
    private const uint AllLinks = uint.MaxValue;

    /// <summary>MIG instances come and go by an administrator's hand.</summary>
    private static readonly TimeSpan MigPeriod = TimeSpan.FromSeconds(5);

    private volatile int lost = Nvml.MustReopen(handle.Code) ? handle.Code : 0;
    private MigInstance[] migInstances = [];
    private TimeSpan migUntil;

    /// <summary>Who it is.</summary>
    public Nvml.Identity Identity => identity;

    /// <summary>What its values are kept by beyond this opening: the UUID, or its place where that is unknown.</summary>
    public string Key { get; } = identity.Uuid.Length > 0 ? identity.Uuid : $"#{index}";

    /// <summary>What XID events carry.</summary>
    public nint Handle => handle.Value;

    /// <summary>True while it may be asked something.</summary>
    public bool Answers => handle.Code == 0 && lost == 0;

    /// <summary>The code after which only a new opening helps; 0 while there was none.</summary>
    public int Lost => lost;

    /// <summary>What changes from second to second, with what the other threads found.</summary>
    public Nvml.Device Read(FSharpValueOption<Nvml.Costly> costly, FSharpValueOption<Nvml.Xid> xid)
    {
        if (!Answers)
        {
            return Nvml.Unreachable(index, identity, lost != 0 ? lost : handle.Code, xid);
        }

        var device = handle.Value;
        var utilization = Seen(library.Utilization(device));
        var memory = Seen(library.Memory(device));
        var migMode = Seen(library.MigMode(device));
        var enforcedLimit = Seen(library.EnforcedPowerLimit(device));

        var read = new Nvml.Device(
            index: index,
            handle: 0,
            name: name,
            uuid: uuid,
            utilization: new(utilization.Code, utilization.Value.Gpu),
            memoryUtilization: new(utilization.Code, utilization.Value.Memory),
            memoryTotal: new(memory.Code, memory.Value.Total),
            memoryUsed: new(memory.Code, memory.Value.Used),
            temperature: Seen(library.Temperature(device)),
            fanSpeed: Seen(library.FanSpeed(device)),
            power: Seen(library.Power(device)),
            enforcedPowerLimit: enforcedLimit,
            managementPowerLimit: enforcedLimit is { Code: 0, Value: not uint.MaxValue } ? enforcedLimit : Seen(library.ManagementPowerLimit(device)),
            throttleReasons: Seen(library.ThrottleReasons(device)),
            clockSm: Seen(library.ClockSm(device)),
            clockMemory: Seen(library.ClockMemory(device)),
            pcieLinkGeneration: Seen(library.PcieLinkGeneration(device)),
            pcieLinkWidth: Seen(library.PcieLinkWidth(device)),
            energy: Seen(library.Energy(device)),
            encoder: Seen(library.Encoder(device)),
            decoder: Seen(library.Decoder(device)),
            memoryTemperature: Seen(library.Field(device, MemoryTemperatureField, 0)),
            migMode: migMode,
            migDevices: migMode is { Code: 0, Value: not 0 } ? ReadMig(device) : [],
            costly: costly,
            xid: xid);

        return lost == 0 ? read : Nvml.Unreachable(index, identity, lost, xid);
    }

    /// <summary>What takes long: 20 ms for each direction of PCIe, and a file for each process.</summary>
    public Nvml.Costly ReadCostly(ref byte[] buffer, Func<int, string> nameOf)
    {
        var device = handle.Value;
        var processes = Seen(library.Processes(device, ref buffer));

        return new(
            eccUncorrected: Seen(library.EccErrors(device, uncorrected: true)),
            eccCorrected: Seen(library.EccErrors(device, uncorrected: false)),
            remappedRowsPending: Seen(library.RemappedRowsPending(device)),
            pcieReceived: Seen(library.PcieThroughput(device, received: true)),
            pcieSent: Seen(library.PcieThroughput(device, received: false)),
            nvlinkReceived: Seen(library.Field(device, NvlinkReceivedField, AllLinks)),
            nvlinkSent: Seen(library.Field(device, NvlinkSentField, AllLinks)),
            processes: new(processes.Code, Nvml.Named(nameOf, processes.Value)));
    }

    private Nvml.Mig[] ReadMig(nint device)
    {
        if (clock.Elapsed >= migUntil)
        {
            migUntil = clock.Elapsed + MigPeriod;
            migInstances = [.. FindMig(device)];
        }

        var read = new Nvml.Mig[migInstances.Length];

        for (var i = 0; i < read.Length; i++)
        {
            var instance = migInstances[i];
            var memory = Seen(library.Memory(instance.Handle));

            // One that was destroyed meanwhile: look for the others at the next reading.
            migUntil = memory.Code == 0 ? migUntil : TimeSpan.Zero;

            read[i] = new(
                index: instance.Index,
                name: instance.Name,
                uuid: instance.Uuid,
                gpuInstance: instance.GpuInstance,
                computeInstance: instance.ComputeInstance,
                memoryTotal: new(memory.Code, memory.Value.Total),
                memoryUsed: new(memory.Code, memory.Value.Used));
        }

        return read;
    }

    private IEnumerable<MigInstance> FindMig(nint device)
    {
        var most = Seen(library.MostMigDevices(device));

        for (var i = 0; most.Code == 0 && i < most.Value; i++)
        {
            // Places without an instance answer NOT_FOUND.
            if (library.MigHandle(device, i) is { Code: 0, Value: var instance })
            {
                yield return new(
                    i,
                    instance,
                    library.Name(instance),
                    library.Uuid(instance),
                    library.GpuInstance(instance),
                    library.ComputeInstance(instance));
            }
        }
    }

    private Nvml.Call<T> Seen<T>(Nvml.Call<T> call)
    {
        Note(call.Code);
        return call;
    }

    private Nvml.Field Seen(Nvml.Field field)
    {
        Note(field.Return);
        return field;
    }

    private void Note(int code)
    {
        if (code != 0 && Nvml.MustReopen(code))
        {
            lost = code;
        }
    }

    private sealed record MigInstance(
        int Index, nint Handle, Nvml.Call<string> Name, Nvml.Call<string> Uuid, Nvml.Call<uint> GpuInstance, Nvml.Call<uint> ComputeInstance);
}
